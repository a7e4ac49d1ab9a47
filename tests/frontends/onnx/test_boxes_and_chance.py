"""Operators on boxes, and random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import computed, model, translated

from modelbuild import ops
from modelbuild.graph import Graph, Node
from modelbuild.ops import AlignedMode, RoiMode
from modelbuild.tensor.dtype import Array, ElementType

FEATURES = {"x": np.zeros((2, 3, 16, 16), np.float32)}
BOXES: dict[str, Array | None] = {"rois": np.zeros((4, 4), np.float32), "images": np.zeros(4, np.int64)}


def only(graph: Graph, kind: type[Any]) -> Node[Any]:
    (found,) = (n for n in graph if isinstance(n.op, kind))
    return found


def test_as_much_as_the_threshold_may_overlap(tmp_path: Path) -> None:
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 0.5]]], np.float32)
    inputs = {"boxes": boxes, "scores": np.array([[[0.9, 0.8]]], np.float32)}
    constants = {"most": np.array([9]), "overlap": np.array([0.5], np.float32)}
    (picked,) = computed(translated(model("NonMaxSuppression", inputs, constants, opset=11), tmp_path), inputs)
    np.testing.assert_array_equal(picked, [[0, 0, 0], [0, 0, 1]])


def test_nothing_is_picked_unless_it_is_said_how_many(tmp_path: Path) -> None:
    inputs = {"boxes": np.ones((1, 2, 4), np.float32), "scores": np.ones((1, 1, 2), np.float32)}
    (picked,) = computed(translated(model("NonMaxSuppression", inputs, {}, opset=11), tmp_path), inputs)
    assert picked.shape == (0, 3)


def test_negative_scores_are_picked_where_no_least_score_is_given(tmp_path: Path) -> None:
    inputs = {"boxes": np.ones((1, 1, 4), np.float32), "scores": -np.ones((1, 1, 1), np.float32)}
    proto = model("NonMaxSuppression", inputs, {"most": np.array(1)}, opset=11)
    (picked,) = computed(translated(proto, tmp_path), inputs)
    assert picked.shape == (1, 3)


@pytest.mark.parametrize(
    ("opset", "attributes", "mode"),
    [
        (10, {}, AlignedMode.ASYMMETRIC),
        (16, {}, AlignedMode.HALF_PIXEL_FOR_NN),
        (16, {"coordinate_transformation_mode": "output_half_pixel"}, AlignedMode.ASYMMETRIC),
    ],
)
def test_where_a_box_begins(opset: int, attributes: dict[str, Any], mode: AlignedMode, tmp_path: Path) -> None:
    proto = model("RoiAlign", FEATURES, BOXES, opset=opset, output_height=7, mode="max", **attributes)
    found = only(translated(proto, tmp_path), ops.ROIAlign)
    assert found.op == ops.ROIAlign(7, 1, 0, 1.0, RoiMode.MAXIMUM, mode)


def test_the_maximum_of_boxes(tmp_path: Path) -> None:
    rois = {"rois": np.zeros((4, 5), np.float32)}
    proto = model("MaxRoiPool", FEATURES, rois, opset=11, pooled_shape=[7, 5], spatial_scale=0.5)
    found = only(translated(proto, tmp_path), ops.ROIPooling)
    assert found.op == ops.ROIPooling(7, 5, 0.5)
    assert found.output.fact.shape == (4, 3, 7, 5)


@pytest.mark.parametrize("operator", ["RandomUniform", "RandomNormal"])
@pytest.mark.parametrize("to", [1, 10, 11])
def test_random_numbers_of_a_shape(operator: str, to: int, tmp_path: Path) -> None:
    graph = translated(model(operator, {}, {}, opset=11, shape=[2, 3], dtype=to), tmp_path)
    fact = graph.outputs[0].fact
    assert fact.shape == (2, 3)
    assert fact.dtype is {1: ElementType.f32, 10: ElementType.f16, 11: ElementType.f64}[to]


@pytest.mark.parametrize("operator", ["RandomUniformLike", "RandomNormalLike", "Bernoulli"])
def test_random_numbers_like_another_tensor(operator: str, tmp_path: Path) -> None:
    x = {"x": np.zeros((2, 3), np.float64)}
    graph = translated(model(operator, x, {}, opset=15, free=True), tmp_path)
    drawn, like = graph.outputs[0].fact, graph.inputs[0].fact
    assert (drawn.dtype, drawn.shape) == (like.dtype, like.shape)


def seeds(graph: Graph) -> list[int]:
    return [n.op.op_seed for n in graph if isinstance(n.op, ops.RandomUniform)]


def test_seeds_are_kept_apart(tmp_path: Path) -> None:
    def of(**seed: Any) -> list[int]:
        return seeds(translated(model("RandomNormal", {}, {}, opset=11, shape=[2], **seed), tmp_path))

    assert of() == [0, 0]
    assert len({*of(seed=0.0), *of(seed=1.0), *of(seed=1.5), 0}) == 7


def test_classes_are_drawn_by_their_logarithms(tmp_path: Path) -> None:
    proto = model("Multinomial", {"x": np.zeros((2, 10), np.float32)}, {}, opset=11, sample_size=5, dtype=7)
    found = only(translated(proto, tmp_path), ops.Multinomial)
    assert found.op.log_probs
    assert str(found.output.fact) == "i64[2,5]"
