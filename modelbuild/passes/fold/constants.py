"""Compute what is known: small content now, the rest as a recipe that is carried out when it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelbuild import ops
from modelbuild.errors import SourceError
from modelbuild.graph import Node, Op, Value
from modelbuild.graph.known import fold, foldable
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Match, Rewriter, Skip, of, rule
from modelbuild.tensor.derived import Cast, Reshaped, Transposed
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.storage import InMemory, Tensor

IN_MEMORY = 64 << 20
"""What is computed now holds its inputs and outputs in memory: up to so many bytes."""

SLACK = 1 << 16
"""Content up to so many bytes is simply computed. A larger constant is moved and cast when it is written, and one that
would grow by more than this stays the operation that makes it: the file is smaller."""


def _may_be_known(node: Node[Op]) -> bool:
    """Whether all is known of what a node takes, or makes, or that is nothing: of most nodes none of it is so."""
    return _contents(node.inputs) is not None or _contents(node.outputs) is not None or node.outputs[0].fact.is_empty


known = of(Op, where=_may_be_known)


@rule(known)
def fold_constants(m: Match, g: Rewriter) -> tuple[Value, ...] | Skip | None:
    """op(constants…)  ->  constants"""
    node = m[known]
    made, given = _contents(node.outputs) or _nothing(node), _contents(node.inputs)
    if made is None and not given:
        return None
    if any(is_quantized(v) for v in node.outputs):
        return None if given is None else Skip("weights of few bits stay so")
    if made is None:
        computed = _compute(node, given or [])
        if not isinstance(computed, list):
            return computed
        made = computed
    return tuple(g.node(Const(content)).output for content in made)


def _contents(values: Sequence[Value]) -> list[Tensor] | None:
    """What all of the values hold, if it is known."""
    found = []
    for value in values:
        if value.fact.value is None:
            return None
        found.append(value.fact.value)
    return found


def _nothing(node: Node[Op]) -> list[Tensor] | None:
    """What a node makes if that has no elements: known whatever it is made of, and the CPU plugin dies of some.

    Gather divides by the number of elements.
    """
    for value in node.outputs:
        if not value.fact.is_empty:
            return None
    if not node.op.pure or node.op.bodies():
        return None
    return [InMemory(np.empty(v.fact.static_shape or (), v.fact.dtype.numpy)) for v in node.outputs]


def is_quantized(value: Value) -> bool:
    """Whether this is Const -> Convert [-> Subtract] [-> Multiply] [-> Reshape] from a matrix of integers of few bits.

    Runtimes compute in integers where weights are written so. Vectors, as the parameters of a normalisation, are not
    multiplied with anything in integers, and are worth more as one constant.
    """
    node = value.producer
    match node.op:
        case ops.Convert(destination_type=to):
            (source,) = node.inputs
            few = source.fact.dtype.is_integer and source.fact.dtype.bits <= 8
            is_matrix = source.fact.rank is not None and source.fact.rank > 1
            return isinstance(source.producer.op, Const) and few and to.is_real and is_matrix
        case ops.Subtract() | ops.Multiply() | ops.Reshape():
            return is_quantized(node.inputs[0])
    return False


def _compute(node: Node[Op], content: list[Tensor]) -> list[Tensor] | Skip | None:
    inputs, facts = tuple(v.fact for v in node.inputs), tuple(v.fact for v in node.outputs)
    if not all(f.is_static for f in facts):
        return None
    derived = derive(node.op, content)
    if derived is not None:
        return [derived]
    if not foldable(node.op, inputs, facts):
        return Skip("other processors give other last bits" if node.op.can_evaluate() else "it has no numpy meaning")
    read, made = sum(t.nbytes for t in content), sum(f.dtype.nbytes(_size(f)) for f in facts)
    if read + made > IN_MEMORY:
        return Skip(f"{read + made} bytes are too many to compute in memory")
    if made > 2 * read + SLACK:
        return Skip(f"the result takes {made} bytes, its inputs {read}")
    try:
        return [f.value for f in fold(node.op, inputs, facts) if f.value is not None]
    except ValueError as why:
        raise SourceError(f"{node.name or node.origin}: {why}") from why


def _size(fact: Fact) -> int:
    size = 1
    for extent in fact.static_shape or ():
        size *= extent
    return size


def derive(op: Op, content: list[Tensor]) -> Tensor | None:
    """The recipe of a movement or cast of content that is too large to hold.

    Size alone decides, not where the content lies: that may differ from one build to the next.
    """
    source = content[0]
    if source.nbytes <= SLACK or source.dtype is ElementType.string:
        return None
    match op:
        case ops.Transpose():
            order = tuple(content[1].numpy().tolist()) or tuple(reversed(range(len(source.shape))))
            return Transposed(source, order)
        case ops.Reshape() | ops.Squeeze() | ops.Unsqueeze():
            shape = op.infer(*map(Fact.of, content)).static_shape
            return None if shape is None else Reshaped(source, shape)
        case ops.Convert() if op.destination_type is ElementType.f16 and source.dtype is ElementType.f32:
            return Cast(source, op.destination_type, saturate=False)
    return None


RULES = (fold_constants,)
