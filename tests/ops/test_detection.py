"""Boxes: which of them are kept, and how many numbers come out."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.ops import BoxEncoding
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Expr

BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], np.float32)
SCORES = np.array([[[0.9, 0.75, 0.6]]], np.float32)
B = Expr.symbol("B")


def f32(*shape: int | Expr) -> Fact:
    return Fact(ElementType.f32, shape)


def extents(*numbers: int) -> Fact:
    return Fact.of_array(np.array(numbers, np.int64))


def picked(
    *, most: int = 9, overlap: float = 0.5, least: float = 0.0, boxes: Array = BOXES, **options: object
) -> Array:
    op = ops.NonMaxSuppression(**options)  # type: ignore[arg-type]
    numbers = (np.array(most), np.array(overlap, np.float32), np.array(least, np.float32))
    return op.evaluate(boxes, SCORES, *numbers)[0][:, 2]


def test_a_box_that_overlaps_a_better_one_is_passed_over() -> None:
    np.testing.assert_array_equal(picked(), [0, 2])


def test_a_high_threshold_keeps_what_overlaps() -> None:
    np.testing.assert_array_equal(picked(overlap=0.9), [0, 1, 2])


def test_no_more_are_picked_than_wanted() -> None:
    np.testing.assert_array_equal(picked(most=1), [0])


def test_low_scores_are_not_picked() -> None:
    np.testing.assert_array_equal(picked(least=0.6), [0])


def test_corners_may_stand_in_any_order() -> None:
    np.testing.assert_array_equal(picked(boxes=BOXES[..., [2, 3, 0, 1]]), [0, 2])


def test_boxes_may_be_given_by_their_middle() -> None:
    middle = np.array([[[0.5, 0.5, 1, 1], [0.5, 0.6, 1, 1], [0.5, 10.5, 1, 1]]], np.float32)
    np.testing.assert_array_equal(picked(boxes=middle, box_encoding=BoxEncoding.CENTER), [0, 2])


def test_the_number_of_picked_boxes_is_not_known_before() -> None:
    shapes = [f.shape for f in ops.NonMaxSuppression().infer(f32(B, 100, 4), f32(B, 3, 100))]
    assert shapes == [(UNKNOWN, 3), (UNKNOWN, 3), (1,)]


def test_scores_without_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="scores are"):
        ops.NonMaxSuppression().infer(f32(1, 100, 4), f32(1, 100))


@pytest.mark.parametrize(
    ("op", "boxes", "expected"),
    [
        (ops.ROIAlign(7, 5, 2, 0.5), 4, (B, 16, 7, 5)),
        (ops.ROIAlignRotated(7, 5, 2, 0.5), 5, (B, 16, 7, 5)),
        (ops.ROIPooling(7, 5, 0.5), 5, (B, 16, 7, 5)),
        (ops.PSROIPooling(4, 2, 0.5), 5, (B, 4, 2, 2)),
    ],
)
def test_a_pooled_box_has_the_extents_asked_for(op: ops.ROIAlign, boxes: int, expected: tuple[object, ...]) -> None:
    more = [Fact(ElementType.i64, (B,))] if "Align" in type(op).__name__ else []
    assert op.infer(f32(2, 16, 20, 20), f32(B, boxes), *more).shape == expected


def test_features_without_width_are_refused() -> None:
    with pytest.raises(ValueError, match="the features are"):
        ops.ROIPooling(7, 5, 0.5).infer(f32(2, 16, 20), f32(3, 5))


@pytest.mark.parametrize(
    ("options", "anchors"),
    [
        ({"min_size": (30.0,), "max_size": (60.0,), "aspect_ratio": (2.0,), "flip": True}, 4),
        ({"min_size": (30.0,), "aspect_ratio": (1.0,)}, 1),
        ({"min_size": (1.0, 2.0), "aspect_ratio": (2.0, 3.0), "flip": True}, 10),
        ({"min_size": (1.0, 2.0), "aspect_ratio": (2.0,), "scale_all_sizes": False}, 3),
        ({"fixed_size": (8.0, 16.0), "density": (2.0, 1.0)}, 5),
        ({"fixed_size": (8.0, 16.0), "fixed_ratio": (1.0, 2.0), "density": (2.0, 2.0)}, 14),
    ],
)
def test_the_runtime_makes_as_many_anchors(options: dict[str, object], anchors: int) -> None:
    """What the official operation infers for the same attributes is what this one does."""
    opset = pytest.importorskip("openvino.opset8")
    op = ops.PriorBox(**options)  # type: ignore[arg-type]
    made = op.infer(extents(4, 6), extents(32, 48))
    assert made.shape == (2, 4 * 4 * 6 * anchors)
    given = {k: (np.array(v, np.float32) if isinstance(v, tuple) else v) for k, v in options.items()}
    official = opset.prior_box(
        opset.constant(np.array([4, 6])), opset.constant(np.array([32, 48])), {"offset": 0.5, "step": 8.0} | given
    )
    assert tuple(official.output(0).shape) == made.shape


def test_clustered_anchors_are_as_many_as_there_are_sides() -> None:
    op = ops.PriorBoxClustered((10.0, 20.0, 30.0), (5.0, 6.0, 7.0))
    assert op.infer(extents(4, 6), extents(32, 48)).shape == (2, 4 * 4 * 6 * 3)
    with pytest.raises(ValueError, match="1 widths, but 2 heights"):
        ops.PriorBoxClustered((1.0,), (1.0, 2.0)).infer(extents(4, 6), extents(32, 48))


@pytest.mark.parametrize(
    ("keep", "top", "kept"), [((200,), 400, B * 200), ((-1,), 400, B * 8400), ((-1,), -1, B * 105000)]
)
def test_detections_are_as_many_as_may_be_kept(keep: tuple[int, ...], top: int, kept: Expr) -> None:
    op = ops.DetectionOutput(keep, 0.45, top_k=top, normalized=True)
    assert op.infer(f32(B, 20000), f32(B, 105000), f32(1, 2, 20000)).shape == (1, 1, kept, 7)


def test_proposals_come_in_equal_numbers_for_each_image() -> None:
    op = ops.Proposal(16, 6000, 300, 0.7, 16, 16, (0.5, 1.0, 2.0), (8.0,))
    boxes, scores = op.infer(f32(B, 6, 20, 20), f32(B, 12, 20, 20), f32(3))
    assert (boxes.shape, scores.shape) == ((B * 300, 5), (B * 300,))


def test_a_yolo_head_is_flat_where_its_classes_are_normalised() -> None:
    flat = ops.RegionYolo((1.0, 2.0), 1, 4, 20, 3, 5)
    assert flat.infer(f32(B, 125, 13, 13)).shape == (B, 125 * 13 * 13)
    masked = ops.RegionYolo((1.0, 2.0), 1, 4, 20, 3, 9, do_softmax=False, mask=(0, 1, 2))
    assert masked.infer(f32(B, 75, 13, 13)).shape == (B, 75, 13, 13)


def test_blocks_go_into_channels() -> None:
    assert ops.ReorgYolo((2,)).infer(f32(B, 64, 26, 26)).shape == (B, 256, 13, 13)
