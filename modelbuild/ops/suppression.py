"""Which boxes are kept of those that overlap."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, decide_equal


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
            if not fact.dtype.is_real:
                raise ValueError(f"{name} are {fact}, real numbers expected")
        if boxes.shape is not None and decide_equal(boxes.shape[2], 4) is False:
            raise ValueError(f"boxes are {boxes}, four numbers for each expected")
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


class NonMaxSuppression5(NonMaxSuppression, frozen=True):
    """The earlier form, of which a runtime knows how many boxes there can be."""

    version: ClassVar[str] = "opset5"
    type_name: ClassVar[str] = "NonMaxSuppression"


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
