"""Sequences of tensors are taken apart while the model is translated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelbuild.errors import BuildError, UnsupportedModel
from modelbuild.frontends.onnx import frontend
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate
from modelbuild.tensor.dtype import Array

X = np.arange(12, dtype=np.float32).reshape(2, 6)


def graph(folder: Path, nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str] = (2, 6)) -> Graph:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    numbers = [helper.make_tensor(f"n{i}", TensorProto.INT64, [], [i]) for i in range(-3, 4)]
    made = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info("y")], numbers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return frontend.to_graph(frontend.read(folder / "m.onnx"))


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def run(folder: Path, *nodes: onnx.NodeProto) -> Array:
    (got,) = evaluate(graph(folder, nodes), [X])
    return got


def test_parts_of_one_keep_or_lose_their_axis(tmp_path: Path) -> None:
    kept = run(tmp_path, node("SplitToSequence", "x", "s", axis=1), node("SequenceAt", "s n-1", "y"))
    np.testing.assert_array_equal(kept, X[:, 5:])
    lost = run(tmp_path, node("SplitToSequence", "x", "s", axis=1, keepdims=0), node("SequenceAt", "s n2", "y"))
    np.testing.assert_array_equal(lost, X[:, 2])


def test_equal_parts_may_leave_a_shorter_one(tmp_path: Path) -> None:
    pick = node("SplitToSequence", "x n-1", "s", axis=1)
    with pytest.raises(BuildError, match="parts of -1"):
        run(tmp_path, pick, node("SequenceAt", "s n0", "y"))
    got = run(tmp_path, node("SplitToSequence", "x n2", "s", axis=0), node("SequenceLength", "s", "y"))
    assert got == 1


def test_what_is_put_together_comes_out_joined(tmp_path: Path) -> None:
    pair = node("SequenceConstruct", "x x", "s")
    np.testing.assert_array_equal(run(tmp_path, pair, node("ConcatFromSequence", "s", "y", axis=0)), np.vstack([X, X]))
    stacked = run(tmp_path, pair, node("ConcatFromSequence", "s", "y", axis=-1, new_axis=1))
    np.testing.assert_array_equal(stacked, np.stack([X, X], -1))


@pytest.mark.parametrize(("position", "wanted"), [("n0", [1, 0, 0]), ("n-1", [0, 1, 0]), ("", [0, 0, 1])])
def test_insert_puts_an_element_before_a_position_or_last(tmp_path: Path, position: str, wanted: list[int]) -> None:
    got = run(
        tmp_path,
        node("SequenceConstruct", "n0 n0", "s"),
        node("SequenceInsert", f"s n1 {position}", "t"),
        node("ConcatFromSequence", "t", "y", axis=0, new_axis=1),
    )
    assert got.tolist() == wanted


def test_erase_takes_the_last_or_the_one_that_is_named(tmp_path: Path) -> None:
    listed = node("SequenceConstruct", "n1 n2 n3", "s")
    join = node("ConcatFromSequence", "t", "y", axis=0, new_axis=1)
    assert run(tmp_path, listed, node("SequenceErase", "s", "t"), join).tolist() == [1, 2]
    assert run(tmp_path, listed, node("SequenceErase", "s n0", "t"), join).tolist() == [2, 3]


def test_an_empty_sequence_has_no_elements(tmp_path: Path) -> None:
    assert run(tmp_path, node("SequenceEmpty", "", "s"), node("SequenceLength", "s", "y")) == 0


def test_a_branch_sees_the_sequences_outside(tmp_path: Path) -> None:
    def branch(position: str) -> onnx.GraphProto:
        return helper.make_graph(
            [node("SequenceAt", f"s {position}", "b")], "b", [], [helper.make_empty_tensor_value_info("b")]
        )

    nodes = [
        node("SplitToSequence", "x", "s", axis=0),
        node("ReduceSum", "x", "sum", keepdims=0),
        node("Cast", "sum", "c", to=TensorProto.BOOL),
        node("If", "c", "y", then_branch=branch("n1"), else_branch=branch("n0")),
    ]
    np.testing.assert_array_equal(run(tmp_path, *nodes), X[1:])


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([node("SequenceConstruct", "x", "y")], "only tensors come out"),
        ([node("SequenceConstruct", "x", "s"), node("Relu", "s", "y")], "input 0 is a sequence"),
        ([node("SequenceLength", "x", "y")], "input 0 is a tensor"),
        ([helper.make_node("Gather", ["x", ""], ["y"])], "input 1 is missing"),
        ([node("SplitToSequence", "x", "s", axis=1), node("SequenceLength", "s", "y")], "not known yet"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(tmp_path: Path, nodes: list[onnx.NodeProto], complaint: str) -> None:
    with pytest.raises(UnsupportedModel, match=complaint):
        graph(tmp_path, nodes, ("N", "M"))
