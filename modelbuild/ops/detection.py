"""Boxes: anchors, proposals, their features, and which of them are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, product

Floats = tuple[float, ...]


class BoxEncoding(StrEnum):
    CORNER = "corner"
    CENTER = "center"


class NonMaxSuppression(Op, frozen=True):
    """Picks boxes by score, passing over those that overlap one picked before as much as the threshold or more.

    Inputs: boxes [batch, boxes, 4], scores [batch, classes, boxes], and up to four numbers: most boxes a class,
    greatest overlap, least score, sigma of the soft form. Outputs: [picked, 3] of batch, class and box; the same with
    the score in place of the box; how many were picked. A runtime may fill the first two up with -1.
    """

    box_encoding: BoxEncoding = BoxEncoding.CORNER
    sort_result_descending: bool = True
    output_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset9"
    precise_inputs: ClassVar[tuple[int, ...]] = (2, 3, 4, 5)

    def infer(self, boxes: Fact, scores: Fact, *thresholds: Fact) -> tuple[Fact, ...]:
        for name, fact in (("boxes", boxes), ("scores", scores)):
            if fact.shape is not None and len(fact.shape) != 3:
                raise ValueError(f"{name} are {fact}, three axes expected")
        return (
            Fact(self.output_type, (UNKNOWN, 3)),
            Fact(scores.dtype, (UNKNOWN, 3)),
            Fact(self.output_type, (1,)),
        )

    def evaluate(self, boxes: Array, scores: Array, *thresholds: Array) -> tuple[Array, ...]:
        most, overlap, least, sigma = _numbers(thresholds, (0, 0.0, -np.inf, 0.0))
        if sigma:
            raise NotImplementedError("soft suppression has no reference implementation")
        picked = []
        for batch, of_classes in enumerate(scores):
            corners = _corners(boxes[batch], self.box_encoding)
            for class_, of_boxes in enumerate(of_classes):
                kept = _suppress(corners, of_boxes, int(most), overlap, least)
                picked += [(of_boxes[box], batch, class_, box) for box in kept]
        if self.sort_result_descending:
            picked.sort(key=lambda p: -p[0])
        indices = np.array([p[1:] for p in picked], self.output_type.numpy).reshape(-1, 3)
        scored = np.array([(b, c, score) for score, b, c, _ in picked], scores.dtype).reshape(-1, 3)
        return indices, scored, np.array([len(picked)], self.output_type.numpy)


def _numbers(given: tuple[Array, ...], defaults: tuple[float, ...]) -> list[float]:
    return [np.ravel(a)[0].item() for a in given] + list(defaults[len(given) :])


def _corners(boxes: Array, encoding: BoxEncoding) -> Array:
    if encoding is BoxEncoding.CENTER:
        middle, half = boxes[:, :2], boxes[:, 2:] / 2
        return np.concatenate([middle - half, middle + half], 1)
    return np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)


def _suppress(corners: Array, scores: Array, most: int, overlap: float, least: float) -> list[int]:
    kept: list[int] = []
    for box in np.argsort(-scores, kind="stable"):
        if len(kept) == most or not scores[box] > least:
            break
        if all(_overlap(corners[box], corners[other]) < overlap for other in kept):
            kept.append(int(box))
    return kept


def _overlap(a: Array, b: Array) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common
    return common / whole if whole > 0 else 0.0


class NMSRotated(Op, frozen=True):
    """:class:`NonMaxSuppression` of boxes with an angle: [batch, boxes, 5]."""

    sort_result_descending: bool = True
    output_type: ElementType = ElementType.i64
    clockwise: bool = True

    version: ClassVar[str] = "opset13"
    precise_inputs: ClassVar[tuple[int, ...]] = (2, 3, 4)

    def infer(self, boxes: Fact, scores: Fact, most: Fact, overlap: Fact, least: Fact) -> tuple[Fact, ...]:
        picked = (UNKNOWN, 3)
        return Fact(self.output_type, picked), Fact(scores.dtype, picked), Fact(self.output_type, (1,))


class _Nms(Op, frozen=True):
    """Outputs: [picked, 6] of class, score and box; the numbers of the boxes; how many there are of each image."""

    sort_result_type: str = "none"
    output_type: ElementType = ElementType.i64
    nms_top_k: int = -1
    keep_top_k: int = -1
    sort_result_across_batch: bool = False
    score_threshold: float = 0.0
    background_class: int = -1
    normalized: bool = True

    def infer(self, boxes: Fact, scores: Fact, *counts: Fact) -> tuple[Fact, ...]:
        images: Dim = UNKNOWN
        if counts:
            images = counts[0].shape[0] if counts[0].shape else UNKNOWN
        elif scores.shape:
            images = scores.shape[0]
        return (
            Fact(boxes.dtype, (UNKNOWN, 6)),
            Fact(self.output_type, (UNKNOWN, 1)),
            Fact(self.output_type, (images,)),
        )


class MulticlassNms(_Nms, frozen=True):
    """A third input says how many boxes each image has, where they are all in one list."""

    iou_threshold: float = 0.0
    nms_eta: float = 1.0

    version: ClassVar[str] = "opset9"


class MatrixNms(_Nms, frozen=True):
    decay_function: str = "linear"
    gaussian_sigma: float = 2.0
    post_threshold: float = 0.0

    version: ClassVar[str] = "opset8"


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
    if features.shape is not None and len(features.shape) != 4:
        raise ValueError(f"the features are {features}, [batch, channels, height, width] expected")
    if boxes.shape is not None and len(boxes.shape) != 2:
        raise ValueError(f"the boxes are {boxes}, two axes expected")
    count = boxes.shape[0] if boxes.shape else UNKNOWN
    return Fact(features.dtype, (count, features.shape[1] if features.shape else UNKNOWN, height, width))


class PriorBox(Op, frozen=True):
    """Anchors for every cell of a feature map. Inputs: extents of the map, extents of the image.

    Output: [2, 4 * height * width * anchors], the boxes and their variances.
    """

    min_size: Floats = ()
    max_size: Floats = ()
    aspect_ratio: Floats = ()
    density: Floats = ()
    fixed_ratio: Floats = ()
    fixed_size: Floats = ()
    clip: bool = False
    flip: bool = False
    step: float = 0.0
    offset: float = 0.0
    variance: Floats = ()
    scale_all_sizes: bool = True
    min_max_aspect_ratios_order: bool = True

    version: ClassVar[str] = "opset8"
    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, map_: Fact, image: Fact) -> Fact:
        return _anchors(map_, self.anchors)

    @property
    def anchors(self) -> int:
        """How many there are in a cell."""
        ratios = [1.0]
        for ratio in self.aspect_ratio:
            for found in (ratio, 1 / ratio) if self.flip else (ratio,):
                if all(abs(found - other) >= 1e-6 for other in ratios):
                    ratios.append(found)
        if self.fixed_size:
            count = len(ratios) * len(self.fixed_size)
        elif self.scale_all_sizes:
            count = len(ratios) * len(self.min_size) + len(self.max_size)
        else:
            count = len(ratios) + len(self.min_size) - 1
        more = sum(int(d) ** 2 - 1 for d in self.density)
        return count + more * (len(self.fixed_ratio) or len(ratios))


class PriorBoxClustered(Op, frozen=True):
    """:class:`PriorBox` with the anchors' sides given."""

    width: Floats = ()
    height: Floats = ()
    clip: bool = False
    step: float = 0.0
    step_w: float = 0.0
    step_h: float = 0.0
    offset: float = 0.0
    variance: Floats = ()

    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, map_: Fact, image: Fact) -> Fact:
        if len(self.width) != len(self.height):
            raise ValueError(f"{len(self.width)} widths, but {len(self.height)} heights")
        return _anchors(map_, len(self.width))


def _anchors(map_: Fact, in_cell: int) -> Fact:
    extents = map_.elements
    if extents is not None and len(extents) != 2:
        raise ValueError(f"the extents of the map are {len(extents)} numbers, height and width expected")
    return Fact(ElementType.f32, (2, product((4, in_cell, *extents)) if extents else UNKNOWN))


class DetectionOutput(Op, frozen=True):
    """The last step of a single-shot detector: decodes boxes, suppresses, and keeps the best.

    Inputs: box corrections, class scores, anchors; with a refined detector also its scores and corrections.
    Output: [1, 1, kept, 7] of image, class, score and box.
    """

    keep_top_k: Ints
    nms_threshold: float
    background_label_id: int = 0
    top_k: int = -1
    variance_encoded_in_target: bool = False
    code_type: str = "caffe.PriorBoxParameter.CORNER"
    share_location: bool = True
    confidence_threshold: float = 0.0
    clip_after_nms: bool = False
    clip_before_nms: bool = False
    decrease_label_id: bool = False
    normalized: bool = False
    input_height: int = 1
    input_width: int = 1
    objectness_score: float = 0.0

    version: ClassVar[str] = "opset8"
    precise_inputs: ClassVar[tuple[int, ...]] = (2,)

    def infer(self, corrections: Fact, scores: Fact, anchors: Fact, *refined: Fact) -> Fact:
        return Fact(corrections.dtype, (1, 1, self._kept(corrections.shape, scores.shape, anchors.shape), 7))

    def _kept(self, corrections: Shape | None, scores: Shape | None, anchors: Shape | None) -> Dim:
        if scores is None or anchors is None or corrections is None:
            return UNKNOWN
        boxes = anchors[2] // (4 if self.normalized else 5)
        classes = scores[1] // boxes
        images = corrections[0]
        if self.keep_top_k[0] > 0:
            return images * self.keep_top_k[0]
        return images * classes * (self.top_k if self.top_k > 0 else boxes)


class Proposal(Op, frozen=True):
    """Boxes that may hold something. Inputs: scores, corrections, extents of the image. Outputs: [n, 5], scores [n]."""

    base_size: int
    pre_nms_topn: int
    post_nms_topn: int
    nms_thresh: float
    feat_stride: int
    min_size: int
    ratio: Floats
    scale: Floats
    clip_before_nms: bool = True
    clip_after_nms: bool = False
    normalize: bool = False
    box_size_scale: float = 1.0
    box_coordinate_scale: float = 1.0
    framework: str = ""

    version: ClassVar[str] = "opset4"
    precise_inputs: ClassVar[tuple[int, ...]] = (2,)

    def infer(self, scores: Fact, corrections: Fact, image: Fact) -> tuple[Fact, ...]:
        count = (scores.shape[0] if scores.shape else UNKNOWN) * self.post_nms_topn
        return Fact(scores.dtype, (count, 5)), Fact(scores.dtype, (count,))


class GenerateProposals(Op, frozen=True):
    """:class:`Proposal` with anchors as an input. Outputs: boxes [n, 4], scores [n], how many each image has."""

    min_size: float
    nms_threshold: float
    pre_nms_count: int
    post_nms_count: int
    normalized: bool = True
    nms_eta: float = 1.0
    roi_num_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset9"
    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, image: Fact, anchors: Fact, corrections: Fact, scores: Fact) -> tuple[Fact, ...]:
        images = image.shape[0] if image.shape else UNKNOWN
        return (
            Fact(scores.dtype, (UNKNOWN, 4)),
            Fact(scores.dtype, (UNKNOWN,)),
            Fact(self.roi_num_type, (images,)),
        )


class RegionYolo(Op, frozen=True):
    """Activates the raw output of a YOLO head: sigmoid, and softmax over the classes where ``do_softmax``."""

    anchors: Floats
    axis: int
    coords: int
    classes: int
    end_axis: int
    num: int
    do_softmax: bool = True
    mask: Ints = ()

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return Fact(data.dtype)
        if len(data.shape) != 4:
            raise ValueError(f"{data} has {len(data.shape)} axes, [batch, channels, height, width] expected")
        batch, _, height, width = data.shape
        if not self.do_softmax:
            return Fact(data.dtype, (batch, (self.classes + self.coords + 1) * len(self.mask), height, width))
        start, end = self.axis % 4, self.end_axis % 4
        flat = product(data.shape[start : end + 1])
        return Fact(data.dtype, (*data.shape[:start], flat, *data.shape[end + 1 :]))


class ReorgYolo(Op, frozen=True):
    """Moves blocks of ``stride`` by ``stride`` into channels."""

    stride: Ints

    version: ClassVar[str] = "opset2"

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return Fact(data.dtype)
        batch, channels, height, width = data.shape
        s = self.stride[0]
        return Fact(data.dtype, (batch, channels * s * s, height // s, width // s))
