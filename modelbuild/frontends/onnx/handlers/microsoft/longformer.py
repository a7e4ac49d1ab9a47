"""Attention to neighbours, and of a few tokens to all: computed with all keys and a mask."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import Mask, fused, join_heads, lag, split_heads
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Value


@onnx.op("LongformerAttention", domain=MICROSOFT)
def longformer_attention(
    build: Build, x: Value, weight: Value, bias: Value, mask: Value, global_weight: Value, global_bias: Value,
    global_flags: Value, *, num_heads: int, window: int,
) -> Value:  # fmt: skip
    """All see the global tokens, too; these see everything, with projections of their own.

    ``mask``, ``[batch, token]``, is added to the scores.
    """
    q, k, v = _projected(build, x, weight, bias, num_heads)
    everywhere = converted(build, global_flags, x.fact.dtype)
    is_global = build(ops.NotEqual(), everywhere, number(build, 0, everywhere))
    away = build(ops.Abs(), lag(build, q, k))
    near = build(ops.LessEqual(), away, build.scalar(window))
    seen = build(ops.LogicalOr(), near, build(ops.Unsqueeze(), is_global, build.ints(1, 2)))
    added = build(ops.Unsqueeze(), mask, build.ints(1, 2))
    local = join_heads(build, fused(build, q, k, v, Mask(seen, added)))
    q, k, v = _projected(build, x, global_weight, global_bias, num_heads)
    whole = join_heads(build, fused(build, q, k, v, Mask(bias=added)))
    return build(ops.Select(), build(ops.Unsqueeze(), is_global, build.ints(2)), whole, local)


def _projected(build: Build, x: Value, weight: Value, bias: Value, heads: int) -> tuple[Value, Value, Value]:
    flat = build(ops.Add(), build(ops.MatMul(), x, weight), bias)
    q, k, v = (split_heads(build, part, heads) for part in build.node(ops.Split(3), flat, build.scalar(2)).outputs)
    return q, k, v
