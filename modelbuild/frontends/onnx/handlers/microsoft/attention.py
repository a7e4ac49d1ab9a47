"""Attention as onnxruntime's tools for transformers write it."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import (
    Mask,
    as_i64,
    chosen_scale,
    column,
    counted,
    extent,
    fused,
    join_heads,
    known_extent,
    lag,
    spelled_out,
    split_heads,
    within,
)
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value
from modelbuild.tensor.shape import decide_equal

FILTER = -10000.0
"""What is added to the score of a key that padding masks out."""


@onnx.op("Attention", domain=MICROSOFT)
def attention(
    build: Build, x: Value, weights: Value, bias: Value | None = None, mask_index: Value | None = None,
    past: Value | None = None, attention_bias: Value | None = None, past_sequence_length: Value | None = None, *,
    do_rotary: int = 0, mask_filter_value: float = FILTER, num_heads: int, past_present_share_buffer: int = 0,
    qkv_hidden_sizes: Ints = (), rotary_embedding_dim: int = 0, scale: float = 0.0, unidirectional: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    """The three projections are one product. Past and present hold keys and values, ``[2, batch, heads, …]``."""
    del rotary_embedding_dim
    if do_rotary:
        raise build.refuse("do_rotary is 1: it has no tables of angles")
    _refuse_shared(build, past_present_share_buffer, past_sequence_length)
    projected = _plus(build, build(ops.MatMul(), x, weights), bias)
    return _self_attention(
        build, projected, qkv_hidden_sizes, mask_index, past, attention_bias, heads=num_heads, scale=scale,
        filter_value=mask_filter_value, causal=bool(unidirectional),
    )  # fmt: skip


@onnx.op("QAttention", domain=MICROSOFT)
def quantized_attention(
    build: Build, x: Value, weight: Value, bias: Value, input_scale: Value, weight_scale: Value,
    mask_index: Value | None = None, input_zero_point: Value | None = None, weight_zero_point: Value | None = None,
    past: Value | None = None, *,
    do_rotary: int = 0, mask_filter_value: float = FILTER, num_heads: int, past_present_share_buffer: int = 0,
    scale: float = 0.0, unidirectional: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    """:func:`attention` with a product of integers; a list of weight scales has one a column."""
    if do_rotary:
        raise build.refuse("do_rotary is 1: it has no tables of angles")
    _refuse_shared(build, past_present_share_buffer, None)
    real = dequantized(build, x, Scale(input_scale, input_zero_point))
    weights = dequantized(build, weight, Scale(weight_scale, weight_zero_point))
    projected = build(ops.Add(), build(ops.MatMul(), real, weights), bias)
    return _self_attention(
        build, projected, (), mask_index, past, None, heads=num_heads, scale=scale, filter_value=mask_filter_value,
        causal=bool(unidirectional),
    )  # fmt: skip


@onnx.op("DecoderMaskedSelfAttention", domain=MICROSOFT)
def decoder_masked_self_attention(
    build: Build, x: Value, weights: Value, bias: Value, mask_index: Value | None, past: Value,
    attention_bias: Value | None, past_sequence_length: Value, beam_width: Value | None = None,
    cache_indirection: Value | None = None, *,
    do_rotary: int = 0, mask_filter_value: float = FILTER, num_heads: int, past_present_share_buffer: int = 0,
    scale: float = 0.0,
) -> tuple[Value, ...]:  # fmt: skip
    """:func:`attention` of one token."""
    _refuse_beams(build, beam_width, cache_indirection)
    del past_sequence_length  # of a buffer that past and present share
    return attention(
        build, x, weights, bias, mask_index, past, attention_bias, do_rotary=do_rotary,
        mask_filter_value=mask_filter_value, num_heads=num_heads, past_present_share_buffer=past_present_share_buffer,
        scale=scale,
    )  # fmt: skip


def _refuse_beams(build: Build, *given: Value | None) -> None:
    if any(value is not None for value in given):
        raise build.refuse("its cache is shared by beams")


def _self_attention(
    build: Build, projected: Value, sizes: Ints, mask_index: Value | None, past: Value | None, added: Value | None, *,
    heads: int, scale: float, filter_value: float, causal: bool,
) -> tuple[Value, ...]:  # fmt: skip
    axis = build.scalar(-1)
    if sizes:
        if len(sizes) != 3:
            raise ValueError(f"qkv_hidden_sizes has {len(sizes)} numbers, 3 expected")
        parts = build.node(ops.VariadicSplit(), projected, axis, build.ints(*sizes)).outputs
    else:
        parts = build.node(ops.Split(3), projected, axis).outputs
    q, k, v = (split_heads(build, part, heads) for part in parts)
    offset = None
    if past is not None:
        zero = build.ints(0)
        old = [build(ops.Squeeze(), part, zero) for part in build.node(ops.Split(2), past, build.scalar(0)).outputs]
        k, v = (build(ops.Concat(2), *pair) for pair in zip(old, (k, v), strict=True))
        offset = extent(build, old[0], 2)
    bias = None if mask_index is None else padding(build, mask_index, q, k, filter_value)
    mask = Mask().biased(build, bias, added)
    y = _attended(build, q, k, v, mask, scale=scale, causal=causal, offset=offset)
    if not build.wants(1):
        return (join_heads(build, y),)
    return join_heads(build, y), build(ops.Concat(0), *(build(ops.Unsqueeze(), t, build.ints(0)) for t in (k, v)))


def _attended(
    build: Build, q: Value, k: Value, v: Value, mask: Mask, *, scale: float, causal: bool, offset: Value | None
) -> Value:
    if causal and offset is None and mask == Mask():
        return fused(build, q, k, v, mask, scale=scale or None, causal=True)
    return fused(build, q, k, v, causal_mask(build, mask, q, k, offset) if causal else mask, scale=scale or None)


def causal_mask(build: Build, mask: Mask, q: Value, k: Value, offset: Value | None) -> Mask:
    return mask.narrowed(build, within(build, lag(build, q, k, offset), right=0))


def _refuse_shared(build: Build, shared: int, length: Value | None) -> None:
    if shared or length is not None:
        raise build.refuse("past and present share a buffer")


def _plus(build: Build, x: Value, bias: Value | None) -> Value:
    return x if bias is None else build(ops.Add(), x, bias)


def padding(build: Build, mask: Value, q: Value, k: Value, filter_value: float) -> Value:
    """What a mask of padding adds to the scores.

    ``[batch, key]`` and ``[batch, query, key]`` are 0 for padding; one number a batch is where it begins, two lists in
    one where it begins and where what is before the first key ends.
    """
    rank = build.rank(mask, "mask")
    if rank not in {1, 2, 3}:
        raise build.refuse(f"a mask {mask.fact} is not known")
    if rank == 1:
        seen = _before(build, mask, q, k)
    else:
        seen = build(ops.Greater(), as_i64(build, mask), build.scalar(0))
        seen = build(ops.Unsqueeze(), seen, build.ints(1, 2) if rank == 2 else build.ints(1))
    return build(ops.Select(), seen, number(build, 0, q), number(build, filter_value, q))


def _before(build: Build, ends: Value, q: Value, k: Value) -> Value:
    places = counted(build, extent(build, k, 2))
    count, batch = (v.fact.shape[0] if v.fact.shape else None for v in (ends, q))
    if count is not None and batch is not None and decide_equal(count, 2 * batch):
        ends, starts = build.node(ops.Split(2), ends, build.scalar(0)).outputs
        started = build(ops.GreaterEqual(), places, column(build, starts))
        return build(ops.LogicalAnd(), started, build(ops.Less(), places, column(build, ends)))
    if count is not None and batch is not None and decide_equal(count, batch) is False:
        raise build.refuse(f"a mask {ends.fact} is not known")
    return build(ops.Less(), places, column(build, ends))


# --- MultiHeadAttention ----------------------------------------------------------------------------------------------


@onnx.op("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    build: Build, query: Value, key: Value | None = None, value: Value | None = None, bias: Value | None = None,
    key_padding_mask: Value | None = None, attention_bias: Value | None = None, past_key: Value | None = None,
    past_value: Value | None = None, past_sequence_length: Value | None = None,
    cache_indirection: Value | None = None, *,
    mask_filter_value: float = FILTER, num_heads: int, scale: float = 0.0, unidirectional: int = 0,
) -> tuple[Value | None, ...]:  # fmt: skip
    _refuse_shared(build, 0, past_sequence_length)
    _refuse_beams(build, cache_indirection)
    q, k, v = _unpacked(build, query, key, value, bias, num_heads)
    offset = None
    if past_key is not None and past_value is not None:
        offset = extent(build, past_key, 2)
        k, v = build(ops.Concat(2), past_key, k), build(ops.Concat(2), past_value, v)
    padded = None if key_padding_mask is None else padding(build, key_padding_mask, q, k, mask_filter_value)
    mask = Mask().biased(build, padded, attention_bias)
    causal = bool(unidirectional)
    if not build.wants(3):
        return join_heads(build, _attended(build, q, k, v, mask, scale=scale, causal=causal, offset=offset)), k, v
    mask = causal_mask(build, mask, q, k, offset) if causal else mask
    steps = spelled_out(build, q, k, v, mask, scale=chosen_scale(build, q, scale))
    return join_heads(build, steps.output), k, v, steps.raw


@onnx.op("DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def decoder_masked_multi_head_attention(
    build: Build, query: Value, key: Value | None = None, value: Value | None = None, mask_index: Value | None = None,
    attention_bias: Value | None = None, past_key: Value | None = None, past_value: Value | None = None,
    past_sequence_length: Value | None = None, beam_width: Value | None = None,
    cache_indirection: Value | None = None, bias: Value | None = None, *,
    mask_filter_value: float = FILTER, num_heads: int, output_qk: int = 0, past_present_share_buffer: int = 0,
    scale: float = 0.0,
) -> tuple[Value | None, ...]:  # fmt: skip
    """:func:`multi_head_attention` of one token."""
    del output_qk
    _refuse_shared(build, past_present_share_buffer, None)
    _refuse_beams(build, beam_width)
    return multi_head_attention(
        build, query, key, value, bias, mask_index, attention_bias, past_key, past_value, past_sequence_length,
        cache_indirection, mask_filter_value=mask_filter_value, num_heads=num_heads, scale=scale,
    )  # fmt: skip


def _unpacked(
    build: Build, query: Value, key: Value | None, value: Value | None, bias: Value | None, heads: int
) -> tuple[Value, Value, Value]:
    """Queries, keys and values of each head, whatever they come packed in, with the bias added.

    Keys and values that have heads already come from another place, and have had their bias.
    """
    if key is None:
        query, key, value = _parts(build, query, 3)
    elif value is None:
        key, value = _parts(build, key, 2)
    if value is None:
        raise build.refuse("it has no values")
    ready = build.rank(key, "key") == 4
    if bias is not None:
        biases = _bias_parts(build, bias, query, None if ready else value)
        query = build(ops.Add(), query, biases[0])
        if not ready:
            key, value = build(ops.Add(), key, biases[1]), build(ops.Add(), value, biases[2])
    q = split_heads(build, query, heads)
    return (q, key, value) if ready else (q, split_heads(build, key, heads), split_heads(build, value, heads))


def _parts(build: Build, packed: Value, count: int) -> tuple[Value, ...]:
    """``[batch, sequence, heads, count, size]``  ->  ``[batch, sequence, heads * size]`` so often."""
    if build.rank(packed, "what is packed") != 5:
        split: tuple[Value, ...] = build.node(ops.Split(count), packed, build.scalar(-1)).outputs
        return split
    parts = build.node(ops.Split(count), packed, build.scalar(3)).outputs
    return tuple(build(ops.Reshape(special_zero=True), part, build.ints(0, 0, -1)) for part in parts)


def _bias_parts(build: Build, bias: Value, query: Value, value: Value | None) -> tuple[Value, ...]:
    size = known_extent(build, query, 2, "size of the queries")
    rest = size if value is None else known_extent(build, value, 2, "size of the values")
    lengths = build.ints(size, size, rest)
    parts: tuple[Value, ...] = build.node(ops.VariadicSplit(), bias, build.scalar(0), lengths).outputs
    return parts
