"""Constants in which a small error becomes a large one, by where their numbers go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.ops.elementwise import Binary
from modelbuild.ops.reduction import Reduce

_PRODUCTS: Final = (ops.MatMul, ops.Convolution, ops.GroupConvolution)
_MOVES: Final = (
    ops.Concat, ops.Convert, ops.Pad, ops.Reshape, ops.Slice, ops.Split, ops.Squeeze, ops.StridedSlice, ops.Transpose,
    ops.Unsqueeze, ops.VariadicSplit,
)  # fmt: skip
_UNBOUNDED: Final = (*_PRODUCTS, *_MOVES, Binary, Reduce, ops.Abs, ops.Clamp, ops.Sqrt)
"""What hands an error on as it is: no activation, no normalization."""

INTO_LOGARITHM: Final = "it goes into a logarithm, where small numbers count like large ones"

FEW_BYTES: Final = 1 << 14
"""How large a constant of angles is at most."""


def before_logarithms(graph: Graph) -> frozenset[Value]:
    """What goes into a logarithm by way of products and sums: spectra, in which small numbers count like large ones."""
    return _reached((node.inputs[0] for node in graph.nodes() if isinstance(node.op, ops.Log)), _UNBOUNDED)


def magnitudes(graph: Graph) -> frozenset[Value]:
    """Roots of sums of squares that go on as data, and all they are made of from a product on: loudness of a spectrum.

    A square takes twice as many bits as its number. What only divides is a norm, which bounds errors.
    """
    roots = [node for node in graph.nodes() if isinstance(node.op, ops.Sqrt) and not _only_divides(node)]
    return _reached((node.outputs[0] for node in roots), (*_MOVES, Binary, Reduce, ops.Sqrt))


def _only_divides(node: Node[Op]) -> bool:
    return all(isinstance(user.op, ops.Divide) and index == 1 for user, index in node.outputs[0].uses)


def angles(graph: Graph) -> frozenset[Value]:
    """What sines and cosines are taken of, and what that is computed from: its last digits count.

    Large constants are weights, though: there are networks with sines for activations.
    """
    reached = _reached((node.inputs[0] for node in graph.nodes() if isinstance(node.op, ops.Sin | ops.Cos)), _UNBOUNDED)
    return frozenset(v for v in reached if isinstance(v.producer.op, Const) and v.producer.op.value.nbytes <= FEW_BYTES)


def _reached(starts: Iterable[Value], through: tuple[type[Op], ...]) -> frozenset[Value]:
    found: dict[Value, None] = {}
    pending = list(starts)
    while pending:
        value = pending.pop()
        if value not in found:
            found[value] = None
            if isinstance(value.producer.op, through):
                pending.extend(value.producer.inputs)
    return frozenset(found)
