"""If, Loop and Scan, against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import Inputs, by_onnxruntime, computed, translated
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from modelbuild import ops
from modelbuild.errors import UnsupportedModel
from modelbuild.graph import Graph
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.shape import UNKNOWN

F, B, I = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64  # noqa: E741
Shape = Sequence[int | str]


def value(name: str, kind: int, shape: Shape | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, content: Any, dtype: Any = np.float32) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(content, dtype), name))


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, [n.strip("_") for n in inputs.split()], outputs.split(), **attributes)


def body(nodes: list[NodeProto], inputs: list[Any], outputs: list[Any]) -> GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs)


def whole(nodes: list[NodeProto], inputs: list[Any], outputs: list[Any], *, opset: int = 16) -> ModelProto:
    graph = helper.make_graph(nodes, "whole", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(proto: ModelProto, folder: Path, inputs: Inputs) -> Graph:
    graph = translated(proto, folder)
    for have, want in zip(computed(graph, inputs), by_onnxruntime(proto, inputs), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)
        assert have.shape == want.shape
    return graph


def kinds(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph]


X = np.array([[1, -2, 3]], np.float32)


def choice(then: list[NodeProto], otherwise: list[NodeProto], condition: str = "c") -> NodeProto:
    return node(
        "If", condition, "y",
        then_branch=body(then, [], [value("t", F, None)]), else_branch=body(otherwise, [], [value("e", F, None)]),
    )  # fmt: skip


@pytest.mark.parametrize("condition", [True, False])
def test_a_condition_of_the_run_chooses_then(condition: bool, tmp_path: Path) -> None:
    proto = whole(
        [choice([node("Relu", "x", "t")], [node("Neg", "x", "e")])],
        [value("c", B, []), value("x", F, [1, 3])],
        [value("y", F, [1, 3])],
    )
    graph = check(proto, tmp_path, {"c": np.array(condition), "x": X})
    assert "If" in kinds(graph)


def test_a_known_condition_chooses_now(tmp_path: Path) -> None:
    """The other branch may hold what has no translation."""
    nodes = [constant("c", False, np.bool_), choice([node("Nonsense", "x", "t")], [node("Neg", "x", "e")])]
    proto = whole(nodes, [value("x", F, [1, 3])], [value("y", F, [1, 3])])
    with pytest.raises(UnsupportedModel, match="Nonsense"):
        translated(proto, tmp_path)
    nodes[1] = choice([node("Relu", "x", "t")], [node("Neg", "x", "e")])
    proto = whole(nodes, [value("x", F, [1, 3])], [value("y", F, [1, 3])])
    assert "If" not in kinds(check(proto, tmp_path, {"x": X}))


@pytest.mark.parametrize("possible", ["then", "else"])
def test_a_branch_that_contradicts_what_it_is_given_is_never_taken(possible: str, tmp_path: Path) -> None:
    impossible = [constant("square", [2, 2], np.int64), node("Reshape", "x square", "out")]
    branches = {"then": [node("Relu", "x", "t")], "else": [node("Neg", "x", "e")]}
    other = "else" if possible == "then" else "then"
    branches[other] = [*impossible, node("Identity", "out", other[0])]
    proto = whole(
        [choice(branches["then"], branches["else"])],
        [value("c", B, []), value("x", F, [1, 3])],
        [value("y", F, [1, 3])],
    )
    graph = check(proto, tmp_path, {"c": np.array(possible == "then"), "x": X})
    assert "If" not in kinds(graph)
    assert f"always takes its {possible}_branch, because the other cannot run" in graph.notes[0]


@pytest.mark.parametrize("conditions", [(True, True), (True, False), (False, True)])
def test_an_inner_branch_sees_values_from_far_outside(conditions: tuple[bool, bool], tmp_path: Path) -> None:
    inner = node(
        "If", "d", "t",
        then_branch=body([node("Add", "x near", "p")], [], [value("p", F, None)]),
        else_branch=body([node("Mul", "x near", "q")], [], [value("q", F, None)]),
    )  # fmt: skip
    outer = choice([node("Abs", "x", "near"), inner], [node("Identity", "x", "e")])
    proto = whole([outer], [value("c", B, []), value("d", B, []), value("x", F, ["N", 3])], [value("y", F, ["N", 3])])
    c, d = conditions
    check(proto, tmp_path, {"c": np.array(c), "d": np.array(d), "x": X})


def test_what_both_branches_see_is_one_input(tmp_path: Path) -> None:
    proto = whole(
        [choice([node("Relu", "x", "t")], [node("Neg", "x", "e")])],
        [value("c", B, []), value("x", F, [1, 3])],
        [value("y", F, [1, 3])],
    )
    (found,) = (n for n in translated(proto, tmp_path) if isinstance(n.op, ops.If))
    assert len(found.inputs) == 2


def loop(*, condition: bool = True, trips: bool = True, limit: float = 1e9) -> NodeProto:
    """Doubles ``state``, gives each one, and goes on while its sum is below ``limit``."""
    inner = body(
        [
            node("Add", "state state", "next"), node("Add", "next far", "seen"),
            node("ReduceSum", "next", "total", keepdims=0), constant("limit", limit),
            node("Less", "total limit", "more"),
        ],
        [value("i", I, []), value("going", B, []), value("state", F, None)],
        [value("more", B, []), value("next", F, None), value("seen", F, None)],
    )  # fmt: skip
    return node("Loop", f"{'n' if trips else '_'} {'c' if condition else '_'} x", "last every", body=inner)


def looped(found: NodeProto, *, known: bool = False) -> ModelProto:
    nodes = [constant("far", 10.0), found]
    inputs = [value("x", F, [1, 3])]
    for name, kind, content, dtype in (("n", I, 4, np.int64), ("c", B, True, np.bool_)):
        if name in found.input:
            if known:
                nodes.insert(0, constant(name, content, dtype))
            else:
                inputs.append(value(name, kind, []))
    return whole(nodes, inputs, [value("last", F, None), value("every", F, None)])


COUNT: dict[str, Array | None] = {"n": np.array(4), "c": np.array(True)}
ONES = np.ones((1, 3), np.float32)


@pytest.mark.parametrize("trips", [1, 5])
def test_a_loop_runs_so_many_times(trips: int, tmp_path: Path) -> None:
    check(looped(loop()), tmp_path, {**COUNT, "x": ONES, "n": np.array(trips)})


def test_a_loop_that_does_not_run_gives_what_it_was_given(tmp_path: Path) -> None:
    graph = translated(looped(loop()), tmp_path)
    last, every = computed(graph, {**COUNT, "x": ONES, "n": np.array(0)})
    np.testing.assert_array_equal(last, ONES)
    assert every.shape == (0, 1, 3)


def test_a_loop_stops_by_its_own_condition(tmp_path: Path) -> None:
    check(looped(loop(limit=20)), tmp_path, {**COUNT, "x": ONES})
    check(looped(loop(limit=20, trips=False)), tmp_path, {"c": np.array(True), "x": ONES})


def test_a_loop_may_have_a_count_only(tmp_path: Path) -> None:
    check(looped(loop(condition=False)), tmp_path, {"n": np.array(3), "x": ONES})


def test_a_known_count_gives_a_known_shape(tmp_path: Path) -> None:
    inner = body(
        [node("Identity", "going", "more"), node("Add", "state state", "next"), node("Identity", "next", "seen")],
        [value("i", I, []), value("going", B, []), value("state", F, None)],
        [value("more", B, []), value("next", F, None), value("seen", F, None)],
    )
    graph = check(looped(node("Loop", "n c x", "last every", body=inner), known=True), tmp_path, {"x": ONES})
    assert [v.fact.shape for v in graph.outputs] == [(1, 3), (4, 1, 3)]


def test_a_shape_that_grows_is_generalised(tmp_path: Path) -> None:
    inner = body(
        [node("Identity", "going", "more"), node("Concat", "state far", "next", axis=0)],
        [value("i", I, []), value("going", B, []), value("state", F, None)],
        [value("more", B, []), value("next", F, None)],
    )
    nodes = [constant("far", [[10.0, 11, 12]]), node("Loop", "n c x", "y", body=inner)]
    inputs = [value("n", I, []), value("c", B, []), value("x", F, [1, 3])]
    graph = check(whole(nodes, inputs, [value("y", F, None)]), tmp_path, {**COUNT, "x": ONES})
    assert graph.outputs[0].fact.shape == (UNKNOWN, 3)


def test_a_body_may_read_the_number_of_the_iteration(tmp_path: Path) -> None:
    inner = body(
        [node("Identity", "going", "more"), node("Cast", "i", "at", to=F), node("Add", "state at", "next")],
        [value("i", I, []), value("going", B, []), value("state", F, None)],
        [value("more", B, []), value("next", F, None)],
    )
    inputs = [value("n", I, []), value("c", B, []), value("x", F, [1, 3])]
    check(
        whole([node("Loop", "n c x", "y", body=inner)], inputs, [value("y", F, None)]), tmp_path, {**COUNT, "x": ONES}
    )


def scanned(shape: Shape, **attributes: Any) -> ModelProto:
    inner = body(
        [node("Add", "sum part", "next"), node("Mul", "next far", "seen")],
        [value("sum", F, None), value("part", F, None)],
        [value("next", F, None), value("seen", F, None)],
    )
    nodes = [constant("far", 2.0), node("Scan", "zero x", "last every", body=inner, num_scan_inputs=1, **attributes)]
    return whole(
        nodes,
        [value("zero", F, [2]), value("x", F, shape)],
        [value("last", F, None), value("every", F, None)],
    )


ROWS = np.arange(8, dtype=np.float32).reshape(4, 2)
ZERO = np.zeros(2, np.float32)


@pytest.mark.parametrize("rows", [4, "N"])
def test_a_scan_goes_through_rows(rows: int | str, tmp_path: Path) -> None:
    check(scanned([rows, 2]), tmp_path, {"zero": ZERO, "x": ROWS})


def test_a_scan_goes_through_columns_backwards(tmp_path: Path) -> None:
    proto = scanned(
        [2, "N"], scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1], scan_output_directions=[1]
    )
    check(proto, tmp_path, {"zero": ZERO, "x": ROWS.T.copy()})


def test_a_scan_of_known_rows_gives_a_known_shape(tmp_path: Path) -> None:
    graph = translated(scanned([4, 2]), tmp_path)
    assert [v.fact.shape for v in graph.outputs] == [(2,), (4, 2)]
