"""Bitwise operations for releases that know those of truth values only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Op, Value
from modelbuild.ops.elementwise import BitwiseBinary
from modelbuild.passes.legalize.making import like
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, anything, of, rule
from modelbuild.tensor.dtype import ElementType

_MOST_BITS: Final = 16
"""What the runtime's CPU plugin divides, it takes for single precision, and rounds towards zero."""

x = anything()


def _bitwise(kind: type[BitwiseBinary], logical: Op) -> Rule:
    """Bitwise(x, y)  ->  Logical(x, y) of truth values, and of each bit of integers, added up again"""
    root = of(kind)

    def spell(m: Match, g: Rewriter) -> Value | Skip:
        left, right = m[root].inputs
        dtype = left.fact.dtype
        if dtype is ElementType.boolean:
            return g(logical, left, right)
        if not 8 <= dtype.bits <= _MOST_BITS:
            return Skip(f"the bits of {dtype} cannot all be reached otherwise")
        return _bit_by_bit(g, left, right, lambda a, b: g(logical, a, b))

    return Rule(f"spell_{kind.__name__.lower()}", root, spell)


def _bit_by_bit(g: Rewriter, left: Value, right: Value, join: Callable[[Value, Value], Value]) -> Value:
    """The sum of the powers of two whose bits are joined to true, of both taken modulo two to their number of bits."""
    dtype = left.fact.dtype
    powers = g.constant(np.array([1 << bit for bit in range(dtype.bits)], np.int32), "powers")
    whole, half, two = (_i32(g, number) for number in (1 << dtype.bits, 1 << (dtype.bits - 1), 2))
    last = g.ints([-1])

    def bits(value: Value) -> Value:
        positive = g(ops.FloorMod(), g(ops.Convert(ElementType.i32), value), whole)
        shifted = g(ops.Divide(), g(ops.Unsqueeze(), positive, last), powers)
        return g(ops.Equal(), g(ops.FloorMod(), shifted, two), _i32(g, 1))

    joined = g(ops.Convert(ElementType.i32), join(bits(left), bits(right)))
    total = g(ops.ReduceSum(keep_dims=False), g(ops.Multiply(), joined, powers), last)
    if dtype.numpy.kind == "i":
        total = g(ops.Subtract(), g(ops.FloorMod(), g(ops.Add(), total, half), whole), half)
    return g(ops.Convert(dtype), total)


def _i32(g: Rewriter, number: int) -> Value:
    return g.constant(np.array(number, np.int32))


@rule(of(ops.BitwiseNot, x))
def spell_bitwise_not(m: Match, g: Rewriter) -> Value | Skip:
    """BitwiseNot(x)  ->  -1 - x of signed integers, max - x of unsigned ones, LogicalNot(x) of truth values"""
    dtype = m[x].fact.dtype
    if dtype is ElementType.boolean:
        return g(ops.LogicalNot(), m[x])
    if dtype.bits < 8:
        return Skip(f"{dtype} is not computed with")
    unsigned = dtype.numpy.kind == "u"
    return g(ops.Subtract(), like(g, m[x], np.iinfo(dtype.numpy).max if unsigned else -1), m[x])


RULES = (
    _bitwise(ops.BitwiseAnd, ops.LogicalAnd()),
    _bitwise(ops.BitwiseOr, ops.LogicalOr()),
    _bitwise(ops.BitwiseXor, ops.LogicalXor()),
    spell_bitwise_not,
)
