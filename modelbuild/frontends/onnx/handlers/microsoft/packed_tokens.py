"""Batches without padding, as onnxruntime packs them: the tokens of all sequences one behind the other.

``token_offset``, ``[batch, sequence]``, lists where the tokens are in the padded batch, then where the padding is.
Attention is computed on the padded batch, which is what shapes that are known allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import Mask, counted, extent, extents_of, fused, join_heads, split_heads
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.microsoft.attention import FILTER
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, joined, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("RemovePadding", domain=MICROSOFT)
def remove_padding(build: Build, x: Value, sequence_token_count: Value) -> tuple[Value, ...]:
    """The tokens, where they and the padding were, where each sequence begins, and the length of the longest."""
    if build.rank(x) != 3:
        raise ValueError(f"{x.fact} is no batch of sequences")
    counts = converted(build, sequence_token_count, ElementType.i64)
    places = counted(build, extent(build, x, 1))
    real = as_list(build, build(ops.Less(), places, build(ops.Unsqueeze(), counts, build.ints(1))))
    tokens, padding = (_where(build, which) for which in (real, build(ops.LogicalNot(), real)))
    offsets = build(ops.Reshape(special_zero=False), build(ops.Concat(0), tokens, padding), extents_of(build, x, 0, 1))
    ends = build(ops.CumSum(), counts, build.scalar(0))
    packed = build(ops.Gather(), _flat(build, x), tokens, build.scalar(0))
    longest = build(ops.ReduceMax(keep_dims=True), counts, build.ints(0))
    numbers = (offsets, build(ops.Concat(0), build.ints(0), ends), longest)
    return packed, *(converted(build, v, ElementType.i32) for v in numbers)


def _where(build: Build, which: Value) -> Value:
    return as_list(build, build(ops.NonZero(ElementType.i64), which))


def _flat(build: Build, x: Value) -> Value:
    """``[batch, sequence, size]``  ->  ``[batch * sequence, size]``"""
    return build(ops.Reshape(special_zero=False), x, joined(build, -1, extent(build, x, 2)))


@onnx.op("RestorePadding", domain=MICROSOFT)
def restore_padding(build: Build, x: Value, token_offset: Value) -> Value:
    """``[token, size]``  ->  ``[batch, sequence, size]``, zeros between."""
    size = extents_of(build, x, 1)
    rows = build(ops.ReduceProd(keep_dims=True), shape_of(build, token_offset), build.ints(0))
    none = build(ops.Broadcast(), number(build, 0, x), build(ops.Concat(0), rows, size))
    filled = build(ops.ScatterUpdate(), none, _tokens(build, x, token_offset), x, build.scalar(0))
    return build(ops.Reshape(special_zero=False), filled, build(ops.Concat(0), shape_of(build, token_offset), size))


def _tokens(build: Build, x: Value, token_offset: Value) -> Value:
    """Where the rows of ``x`` are in the padded batch."""
    places = converted(build, as_list(build, token_offset), ElementType.i64)
    return build(ops.Slice(), places, build.ints(0), extents_of(build, x, 0), build.ints(1), build.ints(0))


@onnx.op("PackedAttention", domain=MICROSOFT)
def packed_attention(
    build: Build, x: Value, weights: Value, bias: Value, token_offset: Value, cumulative_sequence_length: Value,
    attention_bias: Value | None = None, *,
    num_heads: int, qkv_hidden_sizes: Ints = (), scale: float = 0.0,
) -> Value:  # fmt: skip
    projected = build(ops.Add(), build(ops.MatMul(), x, weights), bias)
    axis = build.scalar(-1)
    if not qkv_hidden_sizes:
        parts = build.node(ops.Split(3), projected, axis).outputs
    elif len(qkv_hidden_sizes) == 3:
        parts = build.node(ops.VariadicSplit(), projected, axis, build.ints(*qkv_hidden_sizes)).outputs
    else:
        raise ValueError(f"qkv_hidden_sizes has {len(qkv_hidden_sizes)} numbers, 3 expected")
    batch = Packed(token_offset, cumulative_sequence_length, attention_bias)
    return batch.attended(build, parts, num_heads, scale=scale, filter_value=FILTER)


@onnx.op("PackedMultiHeadAttention", domain=MICROSOFT)
def packed_multi_head_attention(
    build: Build, query: Value, key: Value | None, value: Value | None, bias: Value | None, token_offset: Value,
    cumulative_sequence_length: Value, attention_bias: Value | None = None, *,
    mask_filter_value: float = FILTER, num_heads: int, scale: float = 0.0,
) -> Value:  # fmt: skip
    """Queries, keys and values may come in one, ``[token, heads, 3, size]``."""
    if key is None:
        parts = build.node(ops.Split(3), query, build.scalar(2)).outputs
        q, k, v = (build(ops.Reshape(special_zero=True), part, build.ints(0, -1)) for part in parts)
    elif value is None:
        raise build.refuse("it has no values")
    else:
        q, k, v = query, key, value
    if bias is not None:
        lengths = build(ops.Concat(0), *(extents_of(build, part, 1) for part in (q, k, v)))
        added = build.node(ops.VariadicSplit(), bias, build.scalar(0), lengths).outputs
        q, k, v = (build(ops.Add(), part, more) for part, more in zip((q, k, v), added, strict=True))
    batch = Packed(token_offset, cumulative_sequence_length, attention_bias)
    return batch.attended(build, (q, k, v), num_heads, scale=scale, filter_value=mask_filter_value)


@dataclass(frozen=True, slots=True)
class Packed:
    """Where tokens are in the padded batch, where their sequences end, and what is added to the scores."""

    token_offset: Value
    ends: Value
    bias: Value | None

    def attended(self, build: Build, parts: Sequence[Value], heads: int, *, scale: float, filter_value: float) -> Value:
        """Attention of queries, keys and values, ``[token, size]``, each token to those of its own sequence."""
        q, k, v = (split_heads(build, restore_padding(build, x, self.token_offset), heads) for x in parts)
        last = build(ops.Unsqueeze(), _lengths(build, self.ends), build.ints(1, 2, 3))
        seen = build(ops.Less(), counted(build, extent(build, k, 2)), last)
        padding = build(ops.Select(), seen, number(build, 0, q), number(build, filter_value, q))
        mask = Mask().biased(build, padding, self.bias)
        y = join_heads(build, fused(build, q, k, v, mask, scale=scale or None))
        return build(ops.Gather(), _flat(build, y), _tokens(build, parts[0], self.token_offset), build.scalar(0))


def _lengths(build: Build, ends: Value) -> Value:
    """How long each sequence is, from where they begin and end: 0, a, a + b, …"""
    numbers = converted(build, ends, ElementType.i64)
    step, axis = build.ints(1), build.ints(0)
    after = build(ops.Slice(), numbers, build.ints(1), build.ints(2**31 - 1), step, axis)
    return build(ops.Subtract(), after, build(ops.Slice(), numbers, build.ints(0), build.ints(-1), step, axis))
