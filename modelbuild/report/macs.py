"""Multiplications with additions that a graph makes: what its cost is mostly made of.

A dimension that is no number counts as 1, and so does a loop whose iterations nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op
from modelbuild.ops.matmul import Equation
from modelbuild.ops.recurrent import GRUCell, GRUSequence, LSTMCell, LSTMSequence, RNNCell, RNNSequence
from modelbuild.report.summary import UNKNOWN_EXTENT
from modelbuild.tensor.shape import Dim, Expr, Extreme, Quotient, Shape, Symbol

_SOME_LIMIT = 1 << 31  # a trip count beyond is no count, but a loop that ends by its condition


class Count:
    """Adds up; ``assumed`` are the symbols that were taken to be 1."""

    def __init__(self) -> None:
        self.assumed: set[str] = set()

    def of(self, graph: Graph) -> int:
        return sum(self._of_node(node) for node in graph)

    def _of_node(self, node: Node[Op]) -> int:
        bodies = [self.of(body) for body in node.op.bodies()]
        if bodies:  # one branch of an If is run, and a loop has one body
            return max(bodies) * (self._iterations(node) if max(bodies) else 1)
        found = _OPERATORS.get(type(node.op))
        shapes = [value.fact.shape for value in node.inputs]
        if found is None:
            return 0
        if any(shape is None for shape in (*shapes, node.outputs[0].fact.shape)):
            self.assumed.add(UNKNOWN_EXTENT)
            return 0
        return self._product(found(node.op, [shape or () for shape in shapes], node.outputs[0].fact.shape or ()))

    def _iterations(self, node: Node[Op]) -> int:
        if isinstance(node.op, ops.If):
            return 1
        assert isinstance(node.op, ops.Loop | ops.TensorIterator)
        for feed in node.op.inputs:
            shape = node.inputs[feed.port].fact.shape if isinstance(feed, ops.Sliced) else None
            if isinstance(feed, ops.Sliced) and shape:
                return max(1, self._number(shape[feed.axis]) // feed.part_size)
        trips = node.inputs[0].fact.ints if isinstance(node.op, ops.Loop) else None
        if trips and 0 <= trips[0] < _SOME_LIMIT:
            return trips[0]
        self.assumed.add(UNKNOWN_EXTENT)
        return 1

    def _product(self, dims: Iterable[Dim]) -> int:
        return math.prod(map(self._number, dims))

    def _number(self, dim: Dim) -> int:
        if isinstance(dim, Expr):
            self.assumed.update(_symbols(dim))
            return 1
        return dim


def _symbols(dim: Dim) -> Iterator[str]:
    """The names in a dimension."""
    for product, _ in dim.terms if isinstance(dim, Expr) else ():
        for atom in product:
            match atom:
                case Symbol(name=name):
                    yield name
                case Quotient(numerator=a, denominator=b) | Extreme(left=a, right=b):
                    yield from chain(_symbols(a), _symbols(b))
                case _:
                    yield UNKNOWN_EXTENT


_Dims = Callable[[Op, list[Shape], Shape], Iterable[Dim]]
"""The operation, the shapes of its inputs, that of its first output  ->  the dimensions whose product it costs."""


def _convolution(_: Op, inputs: list[Shape], output: Shape) -> Iterable[Dim]:
    """Every output takes a whole filter: I,k…"""
    return (*output, *inputs[1][1:])


def _group_convolution(_: Op, inputs: list[Shape], output: Shape) -> Iterable[Dim]:
    return (*output, *inputs[1][2:])


def _deformable(_: Op, inputs: list[Shape], output: Shape) -> Iterable[Dim]:
    return (*output, *inputs[2][1:])


def _backprop(_: Op, inputs: list[Shape], __: Shape) -> Iterable[Dim]:
    """Every input is spread by a whole filter: O,k…"""
    return (*inputs[0], *inputs[1][1:])


def _group_backprop(_: Op, inputs: list[Shape], __: Shape) -> Iterable[Dim]:
    return (*inputs[0], *inputs[1][2:])


def _matmul(op: Op, inputs: list[Shape], output: Shape) -> Iterable[Dim]:
    assert isinstance(op, ops.MatMul)
    left = inputs[0]
    return (*output, left[-2] if op.transpose_a and len(left) > 1 else left[-1])


def _einsum(op: Op, inputs: list[Shape], output: Shape) -> Iterable[Dim]:
    """Every output sums over the labels that it lacks; a single input is only moved or summed."""
    assert isinstance(op, ops.Einsum)
    if len(inputs) < 2:
        return (0,)
    equation = Equation.parse(op.equation)
    extents: dict[str, Dim] = {}
    for labels, shape in zip(equation.inputs, inputs, strict=True):
        first, _, last = " ".join(labels).partition("...")
        extents |= zip(first.split(), shape, strict=False)
        extents |= zip(reversed(last.split()), reversed(shape), strict=False)
    return (*output, *(extent for label, extent in extents.items() if label not in equation.output))


def _sequence(_: Op, inputs: list[Shape], __: Shape) -> Iterable[Dim]:
    """At every time of every row, W and R of all directions: [directions, rows, input + hidden]."""
    w, r = inputs[-3:-1]
    return (*inputs[0][:2], *w[:2], w[2] + r[2])


def _cell(_: Op, inputs: list[Shape], __: Shape) -> Iterable[Dim]:
    w, r = inputs[-3:-1]
    return (inputs[0][0], w[0], w[1] + r[1])


_OPERATORS: dict[type[Op], _Dims] = {
    ops.Convolution: _convolution,
    ops.BinaryConvolution: _convolution,
    ops.GroupConvolution: _group_convolution,
    ops.DeformableConvolution: _deformable,
    ops.ConvolutionBackpropData: _backprop,
    ops.GroupConvolutionBackpropData: _group_backprop,
    ops.MatMul: _matmul,
    ops.Einsum: _einsum,
    **dict.fromkeys((LSTMSequence, GRUSequence, RNNSequence), _sequence),
    **dict.fromkeys((LSTMCell, GRUCell, RNNCell), _cell),
}
