"""Bodies are written so that the runtime computes what the operations mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ir import save
from modelbuild.ir.read import describe
from modelbuild.ops.control import Invariant, Iteration, Last, Merged, Sliced, Stacked
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory

pytest.importorskip("openvino")


def parameter(name: str, *shape: int, dtype: ElementType = ElementType.f32) -> Value:
    return Node(Parameter(dtype, shape), (), name, "", [name]).output


def constant(value: Array | float | bool) -> Value:
    return Node(Const(InMemory(np.asarray(value))), (), "constant").output


def number(value: float) -> Value:
    return constant(np.array([value], np.float32))


def node(op: Op, *inputs: Value) -> Value:
    return Node(op, inputs, type(op).__name__).output


def named(op: Op, *inputs: Value) -> list[Value]:
    made = Node(op, inputs, "run")
    for value in made.outputs:
        value.names = (f"out{value.index}",)
    return list(made.outputs)


def expect_same(graph: Graph, path: Path, feeds: Sequence[Array]) -> list[Array]:
    """Run ``graph`` here and in the runtime."""
    save(graph, path)
    session = Session(path)
    got = session.run(dict(zip([v.names[0] for v in graph.inputs], feeds, strict=True)))
    want = evaluate(graph, feeds)
    for i, array in enumerate(want):
        np.testing.assert_allclose(got[f"out{i}"], array, rtol=1e-6)
    return want


GRID = np.arange(12, dtype=np.float32).reshape(4, 3)


def choice(condition: Value, a: Value, b: Value) -> ops.If:
    """``a - b`` or ``b * 2``; the branches take different captures in different orders."""
    p, q = parameter("p", 4, 3), parameter("q", 4, 3)
    then = Graph([q, p], [node(ops.Subtract(), p, q)])
    r = parameter("r", 4, 3)
    otherwise = Graph([r], [node(ops.Multiply(), r, number(2))])
    return ops.If(then, otherwise, (2, 1), (2,))


@pytest.mark.parametrize("condition", [True, False])
def test_a_choice_gives_each_branch_its_captures(tmp_path: Path, condition: bool) -> None:
    c, a, b = parameter("c", dtype=ElementType.boolean), parameter("a", 4, 3), parameter("b", 4, 3)
    graph = Graph([c, a, b], named(choice(c, a, b), c, a, b))
    (result,) = expect_same(graph, tmp_path / "m.xml", [np.array(condition), GRID + 1, GRID])
    assert (result == (1 if condition else GRID * 2)).all()


@pytest.mark.parametrize("condition", [True, False])
def test_choices_nest_and_share_one_pool_of_constants(tmp_path: Path, condition: bool) -> None:
    c, a, b = parameter("c", dtype=ElementType.boolean), parameter("a", 4, 3), parameter("b", 4, 3)
    inner_c, x, y = parameter("c", dtype=ElementType.boolean), parameter("x", 4, 3), parameter("y", 4, 3)
    nested = Node(choice(inner_c, x, y), (inner_c, x, y), "inner").output
    then = Graph([inner_c, y, x], [node(ops.Add(), nested, number(2))])
    z = parameter("z", 4, 3)
    otherwise = Graph([z], [node(ops.Add(), z, constant(np.full((4, 3), 2, np.float32)))])
    graph = Graph([c, a, b], named(ops.If(then, otherwise, (0, 2, 1), (2,)), c, a, b))
    expect_same(graph, tmp_path / "m.xml", [np.array(condition), GRID, GRID[::-1].copy()])
    assert describe(tmp_path / "m.xml").bin_size == 4 + 4 * GRID.size


def test_a_loop_takes_every_kind_of_port(tmp_path: Path) -> None:
    x, start, scale = parameter("x", 4, 3), parameter("start", 1, 3), parameter("scale", 1)
    # The ports are used out of order, one of them twice, and one of them not at all.
    total, step, by, row, backwards = (
        parameter("total", 1, 3),
        parameter("step", 1, dtype=ElementType.i64),
        parameter("by", 1),
        parameter("row", 1, 3),
        parameter("backwards", 1, 3),
    )
    scaled = node(ops.Multiply(), row, by)
    counted = node(ops.Add(), scaled, node(ops.Convert(ElementType.f32), step))
    added = node(ops.Add(), total, counted)
    body = Graph([total, step, by, row, backwards], [constant(True), node(ops.Subtract(), counted, backwards), added])
    loop = ops.Loop(
        body,
        (Merged(4, 2), Iteration(), Invariant(5), Sliced(2, 0), Sliced(2, 0, -1, 0, -1)),
        (Stacked(1, 0), Last(2), Stacked(2, 0, -1, 0, -1)),
    )
    inputs = (constant(np.array(4)), constant(True), x, scale, start, scale)
    graph = Graph([x, start, scale], named(loop, *inputs))
    stacked, last, reverse = expect_same(
        graph, tmp_path / "m.xml", [GRID, np.ones((1, 3), np.float32), np.array([3], np.float32)]
    )
    assert (last == 3 * GRID.sum(0) + 1 + 6).all()
    assert (reverse[0] == last).all()
    assert stacked.shape == GRID.shape


def test_a_loop_stops_when_its_condition_says_so(tmp_path: Path) -> None:
    go_on, value = parameter("go_on", dtype=ElementType.boolean), parameter("value", 1)
    doubled = node(ops.Multiply(), value, number(2))
    small = node(ops.Less(), doubled, number(50))
    flag = node(ops.LogicalAnd(), go_on, node(ops.Squeeze(), small, constant(np.array([0]))))
    body = Graph([go_on, value], [flag, doubled])
    loop = ops.Loop(body, (Merged(1, 0), Merged(2, 1)), (Last(1),))
    x = parameter("x", 1)
    graph = Graph([x], named(loop, constant(np.array(-1)), constant(True), x))
    (result,) = expect_same(graph, tmp_path / "m.xml", [np.array([3], np.float32)])
    assert result.tolist() == [96]


@pytest.mark.parametrize("stride", [1, -1])
def test_a_tensor_iterator_walks_both_ways(tmp_path: Path, stride: int) -> None:
    cut = (0, 0, -1, 1) if stride > 0 else (0, -1, 0, -1)
    x, first = parameter("x", 4, 3), parameter("first", 1, 3)
    state, row = parameter("state", 1, 3), parameter("row", 1, 3)
    mixed = node(ops.Add(), node(ops.Multiply(), state, number(0.5)), row)
    iterator = ops.TensorIterator(
        Graph([state, row], [mixed]), (Merged(1, 0), Sliced(0, *cut)), (Last(0), Stacked(0, *cut))
    )
    graph = Graph([x, first], named(iterator, x, first))
    expect_same(graph, tmp_path / "m.xml", [GRID, np.ones((1, 3), np.float32)])


def test_one_value_may_be_two_results_of_a_body(tmp_path: Path) -> None:
    x, row = parameter("x", 4, 3), parameter("row", 1, 3)
    twice = node(ops.Multiply(), row, number(2))
    iterator = ops.TensorIterator(Graph([row], [twice, row, twice]), (Sliced(0, 0),), (Last(2), Stacked(0, 0), Last(1)))
    expect_same(Graph([x], named(iterator, x)), tmp_path / "m.xml", [GRID])
