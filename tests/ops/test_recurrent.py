"""Recurrent operations: their shapes, and that a sequence is its cell, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelbuild import ir, ops
from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ops import Direction
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Expr
from modelbuild.tensor.storage import InMemory

BATCH, TIME, INPUT, HIDDEN = 2, 4, 3, 5
LSTM, GRU, RNN = ("sigmoid", "tanh", "tanh"), ("sigmoid", "tanh"), ("tanh",)


@dataclass(frozen=True)
class Kind:
    sequence: type[Any]
    cell: type[Any]
    names: tuple[str, ...]
    more: dict[str, Any]
    states: int
    gates: int
    rows: int

    def __str__(self) -> str:
        return self.sequence.__name__ + "".join(f"-{m}" for m in self.more)

    def of(self, **options: Any) -> Any:
        return self.sequence(HIDDEN, self.names, **self.more, **options)


PLAIN = Kind(ops.RNNSequence, ops.RNNCell, RNN, {}, states=1, gates=1, rows=1)
kinds = pytest.mark.parametrize(
    "kind",
    [
        Kind(ops.LSTMSequence, ops.LSTMCell, LSTM, {}, states=2, gates=4, rows=4),
        Kind(ops.GRUSequence, ops.GRUCell, GRU, {}, states=1, gates=3, rows=3),
        Kind(ops.GRUSequence, ops.GRUCell, GRU, {"linear_before_reset": True}, states=1, gates=3, rows=4),
        PLAIN,
    ],
    ids=str,
)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def inputs(kind: Kind, *, directions: int = 1, lengths: tuple[int, ...] = (TIME, TIME)) -> list[Array]:
    state = [numbers(BATCH, directions, HIDDEN) for _ in range(kind.states)]
    return [
        numbers(BATCH, TIME, INPUT), *state, np.array(lengths, np.int64),
        numbers(directions, kind.gates * HIDDEN, INPUT), numbers(directions, kind.gates * HIDDEN, HIDDEN),
        numbers(directions, kind.rows * HIDDEN),
    ]  # fmt: skip


def infer(op: Op, arrays: list[Array]) -> tuple[Fact, ...]:
    made = op.infer(*(Fact(ElementType.of(a.dtype), a.shape) for a in arrays))
    return made if isinstance(made, tuple) else (made,)


@kinds
@pytest.mark.parametrize("direction", list(Direction))
def test_shapes_are_those_of_the_result(direction: Direction, kind: Kind) -> None:
    op = kind.of(direction=direction)
    arrays = inputs(kind, directions=2 if direction is Direction.BIDIRECTIONAL else 1)
    for fact, array in zip(infer(op, arrays), op.evaluate(*arrays), strict=True):
        assert fact.shape == array.shape
        assert fact.dtype.numpy == array.dtype


@kinds
def test_a_sequence_is_its_cell_step_by_step(kind: Kind) -> None:
    x, *rest = inputs(kind)
    y, *last = kind.of().evaluate(x, *rest)
    one = kind.cell(HIDDEN, kind.names, **kind.more)
    state: Any = [s[:, 0] for s in rest[: kind.states]]
    for t in range(TIME):
        state = one.evaluate(x[:, t], *state, *(w[0] for w in rest[kind.states + 1 :]))
        state = state if isinstance(state, tuple) else (state,)
        np.testing.assert_allclose(y[:, 0, t], state[0], rtol=1e-5)
    for final, expected in zip(last, state, strict=True):
        np.testing.assert_allclose(final[:, 0], expected, rtol=1e-5)


@kinds
def test_backwards_is_forwards_on_what_is_turned_round(kind: Kind) -> None:
    x, *rest = inputs(kind)
    y, *last = kind.of(direction=Direction.REVERSE).evaluate(x, *rest)
    turned, *final = kind.of().evaluate(x[:, ::-1], *rest)
    np.testing.assert_allclose(y, turned[:, :, ::-1], rtol=1e-6)
    np.testing.assert_allclose(last, final, rtol=1e-6)


@kinds
def test_behind_the_end_of_a_sequence_is_nothing(kind: Kind) -> None:
    arrays = inputs(kind, lengths=(2, TIME))
    y, last, *_ = kind.of().evaluate(*arrays)
    assert not y[0, :, 2:].any()
    np.testing.assert_array_equal(last[0], y[0, :, 1])


@kinds
@pytest.mark.parametrize(
    ("direction", "clip"), [(Direction.FORWARD, 0.3), (Direction.REVERSE, 0.0), (Direction.BIDIRECTIONAL, 0.0)]
)
def test_the_runtime_gives_the_same(clip: float, direction: Direction, kind: Kind, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    op = kind.of(clip=clip, direction=direction)
    count = 2 if direction is Direction.BIDIRECTIONAL else 1
    arrays = inputs(kind, directions=count, lengths=(3, TIME))
    x = Node(Parameter(ElementType.f32, arrays[0].shape), (), "x", names=("x",)).output
    node = Node(op, [x, *(Node(Const(InMemory(a)), (), f"c{i}").output for i, a in enumerate(arrays[1:]))], "y")
    for i, output in enumerate(node.outputs):
        output.names = (f"y{i}",)
    ir.save(Graph([x], node.outputs), tmp_path / "m.xml")
    got = Session(tmp_path / "m.xml").run({"x": arrays[0]})
    for i, expected in enumerate(op.evaluate(*arrays)):
        np.testing.assert_allclose(got[f"y{i}"], expected, rtol=1e-4, atol=1e-5)


def test_batch_and_time_may_be_symbols() -> None:
    b, t = Expr.symbol("B"), Expr.symbol("T")
    f32, op = ElementType.f32, ops.LSTMSequence(HIDDEN, LSTM)
    state, w, r, bias = (Fact(f32, (b, 1, HIDDEN)), Fact(f32, (1, 20, 3)), Fact(f32, (1, 20, 5)), Fact(f32, (1, 20)))
    made = op.infer(Fact(f32, (b, t, 3)), state, state, Fact(ElementType.i64, (b,)), w, r, bias)
    assert [f.shape for f in made] == [(b, 1, t, HIDDEN), (b, 1, HIDDEN), (b, 1, HIDDEN)]


def test_an_unknown_rank_is_no_error() -> None:
    f32, op = ElementType.f32, ops.RNNSequence(HIDDEN, RNN)
    made = op.infer(Fact(f32), Fact(f32), Fact(ElementType.i64), Fact(f32), Fact(f32), Fact(f32))
    assert made[0].shape == (UNKNOWN, 1, UNKNOWN, HIDDEN)


def test_weights_of_another_size_are_refused() -> None:
    x, h, lengths, w, r, b = inputs(Kind(ops.RNNSequence, ops.RNNCell, RNN, {}, states=1, gates=3, rows=3))
    with pytest.raises(ValueError, match="W is f32"):
        infer(ops.RNNSequence(HIDDEN, RNN), [x, h, lengths, w, r, b])


def test_data_of_another_rank_are_refused() -> None:
    _, h, lengths, w, r, b = inputs(PLAIN)
    with pytest.raises(ValueError, match="has 4 axes, 3 expected"):
        infer(ops.RNNSequence(HIDDEN, RNN), [numbers(1, BATCH, TIME, INPUT), h, lengths, w, r, b])


def test_weights_for_another_number_of_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="for 1 directions, not 2"):
        infer(ops.RNNSequence(HIDDEN, RNN, direction=Direction.BIDIRECTIONAL), inputs(PLAIN))
