"""Normalizations and attention that a device or release lacks, in smaller steps."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import extent, known_as, like
from modelbuild.rewrite import Match, Rewriter, Skip, anything, of, rule
from modelbuild.tensor.dtype import ElementType

x, scale, shift = anything(), anything(), anything()
groups = of(ops.GroupNormalization, x, scale, shift)
log_softmax = of(ops.LogSoftmax, x)
attention = of(ops.ScaledDotProductAttention)


@rule(groups)
def spell_group_normalization(m: Match, g: Rewriter) -> Value | Skip:
    """GroupNormalization(x, s, b)  ->  MVN of x as [batch, groups, rest], in the shape of x again, * s + b"""
    shape = m[x].fact.shape
    if shape is None:
        return Skip("its rank is not known")
    op = m[groups].op
    flat = g(ops.Reshape(special_zero=True), m[x], g.ints([0, op.num_groups, -1]))
    even = g(ops.MVN(op.epsilon), flat, g.ints([2]))
    back = known_as(g(ops.Reshape(), even, g(ops.ShapeOf(), m[x])), m[x])
    a_channel = g.ints([-1, *[1] * (len(shape) - 2)])
    factor, summand = (g(ops.Reshape(), one, a_channel) for one in (m[scale], m[shift]))
    return known_as(g(ops.Add(), g(ops.Multiply(), back, factor), summand), m[groups].output)


@rule(log_softmax)
def spell_log_softmax(m: Match, g: Rewriter) -> Value:
    """LogSoftmax(x)  ->  (x - max) - Log(ReduceSum(Exp(x - max)))"""
    axis = g.ints([m[log_softmax].op.axis])
    below = g(ops.Subtract(), m[x], g(ops.ReduceMax(keep_dims=True), m[x], axis))
    total = g(ops.ReduceSum(keep_dims=True), g(ops.Exp(), below), axis)
    return known_as(g(ops.Subtract(), below, g(ops.Log(), total)), m[log_softmax].output)


@rule(attention)
def spell_attention(m: Match, g: Rewriter) -> Value | Skip:
    """ScaledDotProductAttention(q, k, v, mask, s)  ->  Softmax(q * s x k^T + mask) x v

    Where it is causal, the mask is: Range(keys) <= Range(queries), one a column and one a row.
    """
    query, key, value, *further = m[attention].inputs
    if query.fact.rank is None:
        return Skip("its rank is not known")
    width = (query.fact.shape or ())[-1]
    if len(further) > 1:
        factor = further[1]
    elif isinstance(width, int):
        factor = like(g, query, width**-0.5)
    else:
        return Skip("the extent of a query is open, and with it the scale")
    scores = g(ops.MatMul(transpose_b=True), g(ops.Multiply(), query, factor), key)
    mask = _causal_mask(g, query, key) if m[attention].op.causal else next(iter(further), None)
    if mask is not None and mask.fact.dtype is ElementType.boolean:
        scores = g(ops.Select(), mask, scores, like(g, query, -np.inf))
    elif mask is not None:
        scores = g(ops.Add(), scores, mask)
    weights = g(ops.Softmax(query.fact.rank - 1), scores)
    return known_as(g(ops.MatMul(), weights, value), m[attention].output)


def _causal_mask(g: Rewriter, query: Value, key: Value) -> Value:
    zero, one = (g.constant(np.array(number, np.int64)) for number in (0, 1))
    rows, columns = (g(ops.Range(ElementType.i64), zero, extent(g, value, -2), one) for value in (query, key))
    return g(ops.LessEqual(), columns, g(ops.Unsqueeze(), rows, g.ints([1])))


RULES = (spell_group_normalization, spell_log_softmax, spell_attention)
