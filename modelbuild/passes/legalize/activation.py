"""Activation functions that a device or release lacks, in arithmetic."""

from __future__ import annotations

import math

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import like
from modelbuild.rewrite import Match, Rewriter, anything, of, rule

x, alpha, beta = anything(), anything(), anything()
hard_sigmoid = of(ops.HardSigmoid, x, alpha, beta)
selu = of(ops.Selu, x, alpha, beta)
swish = of(ops.Swish)
gelu = of(ops.Gelu, x)


@rule(hard_sigmoid)
def spell_hard_sigmoid(m: Match, g: Rewriter) -> Value:
    """HardSigmoid(x, a, b)  ->  Clamp(x * a + b) {0..1}"""
    return g(ops.Clamp(0.0, 1.0), g(ops.Add(), g(ops.Multiply(), m[x], m[alpha]), m[beta]))


@rule(selu)
def spell_selu(m: Match, g: Rewriter) -> Value:
    """Selu(x, a, s)  ->  s * (max(x, 0) + a * (exp(min(x, 0)) - 1))"""
    zero, one = like(g, m[x], 0), like(g, m[x], 1)
    below = g(ops.Subtract(), g(ops.Exp(), g(ops.Minimum(), m[x], zero)), one)
    total = g(ops.Add(), g(ops.Maximum(), m[x], zero), g(ops.Multiply(), below, m[alpha]))
    return g(ops.Multiply(), total, m[beta])


@rule(of(ops.HSigmoid, x))
def spell_h_sigmoid(m: Match, g: Rewriter) -> Value:
    """HSigmoid(x)  ->  Clamp(x + 3) {0..6} / 6"""
    return g(ops.Multiply(), _ramp(m, g), like(g, m[x], 1 / 6))


@rule(of(ops.HSwish, x))
def spell_h_swish(m: Match, g: Rewriter) -> Value:
    """HSwish(x)  ->  x * Clamp(x + 3) {0..6} / 6"""
    return g(ops.Multiply(), m[x], g(ops.Multiply(), _ramp(m, g), like(g, m[x], 1 / 6)))


def _ramp(m: Match, g: Rewriter) -> Value:
    return g(ops.Clamp(0.0, 6.0), g(ops.Add(), m[x], like(g, m[x], 3)))


@rule(swish)
def spell_swish(m: Match, g: Rewriter) -> Value:
    """Swish(x, b)  ->  x * Sigmoid(x * b)"""
    data, *factor = m[swish].inputs
    return g(ops.Multiply(), data, g(ops.Sigmoid(), g(ops.Multiply(), data, *factor) if factor else data))


@rule(of(ops.SoftPlus, x))
def spell_soft_plus(m: Match, g: Rewriter) -> Value:
    """SoftPlus(x)  ->  max(x, 0) + log(1 + exp(-|x|)): exp(x) alone is infinite for large x"""
    falling = g(ops.Exp(), g(ops.Multiply(), g(ops.Abs(), m[x]), like(g, m[x], -1)))
    rest = g(ops.Log(), g(ops.Add(), falling, like(g, m[x], 1)))
    return g(ops.Add(), g(ops.Relu(), m[x]), rest)


@rule(of(ops.Mish, x))
def spell_mish(m: Match, g: Rewriter) -> Value:
    """Mish(x)  ->  x * Tanh(SoftPlus(x))"""
    return g(ops.Multiply(), m[x], g(ops.Tanh(), g(ops.SoftPlus(), m[x])))


@rule(of(ops.SoftSign, x))
def spell_soft_sign(m: Match, g: Rewriter) -> Value:
    """SoftSign(x)  ->  x / (1 + |x|)"""
    return g(ops.Divide(), m[x], g(ops.Add(), g(ops.Abs(), m[x]), like(g, m[x], 1)))


@rule(gelu)
def spell_gelu(m: Match, g: Rewriter) -> Value:
    """Gelu(x)  ->  x / 2 * (1 + Erf(x / sqrt 2)), or the same with Tanh of a polynomial"""
    value = m[x]
    if m[gelu].op.approximation_mode is ops.GeluForm.ERF:
        phi = g(ops.Erf(), g(ops.Multiply(), value, like(g, value, math.sqrt(0.5))))
    else:
        cube = g(ops.Multiply(), g(ops.Multiply(), value, value), value)
        bent = g(ops.Add(), value, g(ops.Multiply(), cube, like(g, value, 0.044715)))
        phi = g(ops.Tanh(), g(ops.Multiply(), bent, like(g, value, math.sqrt(2 / math.pi))))
    half = g(ops.Multiply(), value, like(g, value, 0.5))
    return g(ops.Multiply(), half, g(ops.Add(), phi, like(g, value, 1)))


RULES = (
    spell_hard_sigmoid,
    spell_selu,
    spell_h_sigmoid,
    spell_h_swish,
    spell_swish,
    spell_soft_plus,
    spell_mish,
    spell_soft_sign,
    spell_gelu,
)
