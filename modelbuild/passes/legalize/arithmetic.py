"""Elementwise functions and reductions that a device or release lacks, in those that all have."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import like
from modelbuild.rewrite import Match, Rewriter, Skip, anything, of, rule

x, y, axes = anything(), anything(), anything()
infinite = of(ops.IsInf, x)
absolute_sum = of(ops.ReduceL1, x, axes)
length = of(ops.ReduceL2, x, axes)
any_true = of(ops.ReduceLogicalOr, x, axes)


@rule(of(ops.Negative, x))
def spell_negative(m: Match, g: Rewriter) -> Value:
    """Negative(x)  ->  x * -1"""
    return g(ops.Multiply(), m[x], like(g, m[x], -1))


@rule(of(ops.Abs, x))
def spell_abs(m: Match, g: Rewriter) -> Value | Skip:
    """Abs(x)  ->  max(x, x * -1)"""
    if not m[x].fact.dtype.is_real:
        return Skip("the least integer has no positive counterpart")
    return g(ops.Maximum(), m[x], g(ops.Multiply(), m[x], like(g, m[x], -1)))


@rule(of(ops.SquaredDifference, x, y))
def spell_squared_difference(m: Match, g: Rewriter) -> Value:
    """SquaredDifference(x, y)  ->  (x - y) * (x - y)"""
    difference = g(ops.Subtract(), m[x], m[y])
    return g(ops.Multiply(), difference, difference)


@rule(of(ops.Cosh, x))
def spell_cosh(m: Match, g: Rewriter) -> Value:
    """Cosh(x)  ->  exp(x) / 2 + exp(-x) / 2"""
    rising, falling = _halves(m, g)
    return g(ops.Add(), rising, falling)


@rule(of(ops.Sinh, x))
def spell_sinh(m: Match, g: Rewriter) -> Value:
    """Sinh(x)  ->  exp(x) / 2 - exp(-x) / 2"""
    rising, falling = _halves(m, g)
    return g(ops.Subtract(), rising, falling)


def _halves(m: Match, g: Rewriter) -> tuple[Value, Value]:
    half, back = like(g, m[x], 0.5), g(ops.Multiply(), m[x], like(g, m[x], -1))
    return g(ops.Multiply(), g(ops.Exp(), m[x]), half), g(ops.Multiply(), g(ops.Exp(), back), half)


@rule(of(ops.Tan, x))
def spell_tan(m: Match, g: Rewriter) -> Value:
    """Tan(x)  ->  sin x / cos x"""
    return g(ops.Divide(), g(ops.Sin(), m[x]), g(ops.Cos(), m[x]))


@rule(of(ops.IsNaN, x))
def spell_is_nan(m: Match, g: Rewriter) -> Value:
    """IsNaN(x)  ->  x != x"""
    return g(ops.NotEqual(), m[x], m[x])


@rule(of(ops.IsFinite, x))
def spell_is_finite(m: Match, g: Rewriter) -> Value:
    """IsFinite(x)  ->  |x| < inf"""
    return g(ops.Less(), g(ops.Abs(), m[x]), like(g, m[x], np.inf))


@rule(infinite)
def spell_is_inf(m: Match, g: Rewriter) -> Value | Skip:
    """IsInf(x)  ->  |x| == inf, or x == inf, or x == -inf"""
    op = m[infinite].op
    if not op.detect_negative and not op.detect_positive:
        return Skip("it looks for nothing")
    both = op.detect_negative and op.detect_positive
    value = g(ops.Abs(), m[x]) if both else m[x]
    return g(ops.Equal(), value, like(g, m[x], np.inf if op.detect_positive else -np.inf))


@rule(absolute_sum)
def spell_absolute_sum(m: Match, g: Rewriter) -> Value:
    """ReduceL1(x)  ->  ReduceSum(|x|)"""
    return g(ops.ReduceSum(m[absolute_sum].op.keep_dims), g(ops.Abs(), m[x]), m[axes])


@rule(length)
def spell_length(m: Match, g: Rewriter) -> Value | Skip:
    """ReduceL2(x)  ->  Sqrt(ReduceSum(x * x))"""
    if not m[x].fact.dtype.is_real:
        return Skip(f"roots of {m[x].fact.dtype} are rounded")
    return g(ops.Sqrt(), g(ops.ReduceSum(m[length].op.keep_dims), g(ops.Multiply(), m[x], m[x]), m[axes]))


@rule(any_true)
def spell_any(m: Match, g: Rewriter) -> Value:
    """ReduceLogicalOr(x)  ->  not ReduceLogicalAnd(not x)"""
    none = g(ops.ReduceLogicalAnd(m[any_true].op.keep_dims), g(ops.LogicalNot(), m[x]), m[axes])
    return g(ops.LogicalNot(), none)


RULES = (
    spell_negative,
    spell_abs,
    spell_squared_difference,
    spell_cosh,
    spell_sinh,
    spell_tan,
    spell_is_nan,
    spell_is_finite,
    spell_is_inf,
    spell_absolute_sum,
    spell_length,
    spell_any,
)
