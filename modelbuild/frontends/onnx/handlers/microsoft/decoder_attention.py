"""Attention of a decoder, to what it has written or to what it reads, as fairseq has it."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import (
    Mask,
    fused,
    join_heads,
    known_extent,
    split_heads,
)
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.microsoft.attention import FILTER
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value


@onnx.op("DecoderAttention", domain=MICROSOFT)
def decoder_attention(
    build: Build, query: Value, key: Value, q_weight: Value, kv_weight: Value, bias: Value,
    key_padding_mask: Value | None, key_cache: Value | None, value_cache: Value | None, static_kv: Value,
    use_past: Value, has_layer_state: Value, has_key_padding_mask: Value, *,
    mask_filter_value: float = FILTER, num_heads: int,
) -> tuple[Value, ...]:  # fmt: skip
    """Of sequences whose batch comes second, to itself or, if keys are static, to another one.

    Static keys that have been computed before are in the caches, others are put behind those.
    """
    static = _known_truth(build, static_kv, "static_kv")
    reuse = _known_truth(build, use_past, "use_past") and _known_truth(build, has_layer_state, "has_layer_state")
    caches = [cache for cache in (key_cache, value_cache) if cache is not None]
    if reuse and len(caches) != 2:
        raise ValueError("it uses the past, but lacks a cache")
    size = known_extent(build, q_weight, 1, "size of the queries")
    halves = build.ints(size, 2 * size)
    q_bias, kv_bias = build.node(ops.VariadicSplit(), bias, build.scalar(0), halves).outputs
    batch_first = build.ints(1, 0, 2)
    queries, other = (build(ops.Transpose(), x, batch_first) for x in (query, key))
    q = split_heads(build, _linear(build, queries, q_weight, q_bias), num_heads)
    if static and reuse:
        k, v = caches
    else:
        both = _linear(build, other if static else queries, kv_weight, kv_bias)
        parts = build.node(ops.Split(2), both, build.scalar(2)).outputs
        k, v = (split_heads(build, part, num_heads) for part in parts)
        if reuse:
            k, v = (build(ops.Concat(2), old, new) for old, new in zip(caches, (k, v), strict=True))
    mask = Mask()
    if key_padding_mask is not None and _known_truth(build, has_key_padding_mask, "has_key_padding_mask"):
        filtered = build(ops.Select(), key_padding_mask, number(build, mask_filter_value, q), number(build, 0, q))
        mask = Mask(bias=build(ops.Unsqueeze(), filtered, build.ints(1, 2)))
    return build(ops.Transpose(), join_heads(build, fused(build, q, k, v, mask)), batch_first), k, v


def _linear(build: Build, x: Value, weights: Value, bias: Value) -> Value:
    return build(ops.Add(), build(ops.MatMul(), x, weights), bias)


def _known_truth(build: Build, x: Value, what: str) -> bool:
    if x.fact.value is None:
        raise build.refuse(f"{what} ({x}) is computed at run time, a constant is needed")
    return bool(x.fact.value.numpy().all())
