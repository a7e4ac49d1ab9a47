"""Features of boxes: what a map holds within them, pooled to one size."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN


class RoiMode(StrEnum):
    AVERAGE = "avg"
    MAXIMUM = "max"


class AlignedMode(StrEnum):
    ASYMMETRIC = "asymmetric"
    HALF_PIXEL_FOR_NN = "half_pixel_for_nn"
    HALF_PIXEL = "half_pixel"


class ROIAlign(Op, frozen=True):
    """Features [batch, channels, height, width] sampled in boxes [boxes, 4] of the images [boxes]."""

    pooled_h: int
    pooled_w: int
    sampling_ratio: int
    spatial_scale: float
    mode: RoiMode = RoiMode.AVERAGE
    aligned_mode: AlignedMode = AlignedMode.ASYMMETRIC

    version: ClassVar[str] = "opset9"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact, images: Fact) -> Fact:
        return _pooled(features, boxes, self.pooled_h, self.pooled_w)


class ROIAlign3(Op, frozen=True):
    """:class:`ROIAlign` with the alignment that was the only one."""

    pooled_h: int
    pooled_w: int
    sampling_ratio: int
    spatial_scale: float
    mode: RoiMode = RoiMode.AVERAGE

    version: ClassVar[str] = "opset3"
    type_name: ClassVar[str] = "ROIAlign"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact, images: Fact) -> Fact:
        return _pooled(features, boxes, self.pooled_h, self.pooled_w)


class ROIAlignRotated(Op, frozen=True):
    """:class:`ROIAlign` of boxes with an angle: [boxes, 5]."""

    pooled_h: int
    pooled_w: int
    sampling_ratio: int
    spatial_scale: float
    clockwise_mode: bool = False

    version: ClassVar[str] = "opset15"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact, images: Fact) -> Fact:
        return _pooled(features, boxes, self.pooled_h, self.pooled_w)


class ROIPooling(Op, frozen=True):
    """The maximum, or a bilinear sample, of each cell of boxes [boxes, 5] whose first number is the image."""

    pooled_h: int
    pooled_w: int
    spatial_scale: float
    method: str = "max"

    version: ClassVar[str] = "opset2"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact) -> Fact:
        if not 0 < self.spatial_scale < math.inf:
            raise ValueError(f"spatial_scale is {self.spatial_scale}, a number above 0 expected")
        return _pooled(features, boxes, self.pooled_h, self.pooled_w)


class PSROIPooling(Op, frozen=True):
    """Each cell of a box reads its own group of channels."""

    output_dim: int
    group_size: int
    spatial_scale: float
    mode: str = "average"
    spatial_bins_x: int = 1
    spatial_bins_y: int = 1

    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact) -> Fact:
        made = _pooled(features, boxes, self.group_size, self.group_size)
        return Fact(made.dtype, (made.shape[0] if made.shape else UNKNOWN, self.output_dim, *(self.group_size,) * 2))


class DeformablePSROIPooling(Op, frozen=True):
    """:class:`PSROIPooling` with cells moved by a third input."""

    output_dim: int
    spatial_scale: float
    group_size: int = 1
    mode: str = "bilinear_deformable"
    spatial_bins_x: int = 1
    spatial_bins_y: int = 1
    trans_std: float = 1.0
    part_size: int = 1

    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, features: Fact, boxes: Fact, *offsets: Fact) -> Fact:
        made = _pooled(features, boxes, self.group_size, self.group_size)
        return Fact(made.dtype, (made.shape[0] if made.shape else UNKNOWN, self.output_dim, *(self.group_size,) * 2))


def _pooled(features: Fact, boxes: Fact, height: int, width: int) -> Fact:
    if features.dtype is not boxes.dtype or not features.dtype.is_real:
        raise ValueError(f"the features are {features}, the boxes {boxes}: real numbers of one type expected")
    if features.shape is not None and len(features.shape) != 4:
        raise ValueError(f"the features are {features}, [batch, channels, height, width] expected")
    if boxes.shape is not None and len(boxes.shape) != 2:
        raise ValueError(f"the boxes are {boxes}, two axes expected")
    count = boxes.shape[0] if boxes.shape else UNKNOWN
    return Fact(features.dtype, (count, features.shape[1] if features.shape else UNKNOWN, height, width))
