"""Boxes: anchors, proposals, and what detectors make of them."""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, product

Floats = tuple[float, ...]


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
