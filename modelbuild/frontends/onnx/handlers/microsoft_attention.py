"""Attention as onnxruntime's tools for transformers write it."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import (
    Mask,
    Steps,
    as_i64,
    at_positions,
    column,
    counted,
    extent,
    fused,
    join_heads,
    known_extent,
    lag,
    repeated_heads,
    rotated,
    spelled_out,
    split_heads,
    usual_scale,
    within,
)
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.normalization import simplified_layer_normalization
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array
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
    if cache_indirection is not None:
        raise build.refuse("its cache is shared by beams")
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
    steps = spelled_out(build, q, k, v, mask, scale=_scale(build, q, scale))
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
    if beam_width is not None:
        raise build.refuse("its cache is shared by beams")
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


def _scale(build: Build, q: Value, scale: float) -> Value:
    return number(build, scale, q) if scale else usual_scale(build, q)


# --- GroupQueryAttention ---------------------------------------------------------------------------------------------


@onnx.op("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    build: Build, query: Value, key: Value | None, value: Value | None, past_key: Value | None,
    past_value: Value | None, seqlens_k: Value, total_sequence_length: Value, cos_cache: Value | None = None,
    sin_cache: Value | None = None, position_ids: Value | None = None, attention_bias: Value | None = None,
    head_sink: Value | None = None, k_scale: Value | None = None, v_scale: Value | None = None,
    q_norm_weight: Value | None = None, k_norm_weight: Value | None = None, query_seqlens: Value | None = None, *,
    causal: int = 1, do_rotary: int = 0, k_norm_epsilon: float = 0.0, k_quant_type: str = "NONE",
    kv_cache_bit_width: int = 0, kv_num_heads: int, local_window_size: int = -1, num_heads: int,
    q_norm_epsilon: float = 0.0, qk_norm_epsilon: float = 1e-6, qk_output: int = 0, rotary_interleaved: int = 0,
    scale: float = 0.0, sliding_window_cache: int = 0, smooth_softmax: int = -1, softcap: float = 0.0,
    v_quant_type: str = "NONE",
) -> tuple[Value | None, ...]:  # fmt: skip
    """Sequence ``b`` of a batch has ``seqlens_k[b] + 1`` tokens with the new ones, which follow the old ones."""
    del kv_cache_bit_width
    if (k_quant_type, v_quant_type) != ("NONE", "NONE") or k_scale is not None or v_scale is not None:
        raise build.refuse("its cache is quantised")
    if sliding_window_cache or query_seqlens is not None:
        raise build.refuse("its cache is a window, or its queries are padded in chunks")
    q, k, v = _grouped(build, query, key, value, num_heads, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q = _normalized(build, q, q_norm_weight, q_norm_epsilon or qk_norm_epsilon)
        k = _normalized(build, k, k_norm_weight, k_norm_epsilon or qk_norm_epsilon)
    lengths = build(ops.Add(), as_i64(build, seqlens_k), build.scalar(1))
    lengths = build(ops.Reshape(special_zero=False), lengths, build.ints(-1))
    past = build(ops.Maximum(), build(ops.Subtract(), lengths, extent(build, q, 2)), build.scalar(0))
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise ValueError("do_rotary is 1, but there are no tables of angles")
        places = _positions(build, q, past) if position_ids is None else as_i64(build, position_ids)
        cos, sin = (at_positions(build, table, places) for table in (cos_cache, sin_cache))
        turn = 2 * known_extent(build, cos_cache, 1, "number of angles")
        q, k = (rotated(build, x, cos, sin, size=turn, interleaved=bool(rotary_interleaved)) for x in (q, k))
    if past_key is not None and past_value is not None:
        index = None if _alone(past_key) else _cache_index(build, past_key, k, past, total_sequence_length)
        k, v = (_appended(build, old, new, past, index) for old, new in ((past_key, k), (past_value, v)))
    present = k, v
    k, v = repeated_heads(build, k, q), repeated_heads(build, v, q)
    mask = Mask() if attention_bias is None else Mask(bias=converted(build, attention_bias, q.fact.dtype))
    if smooth_softmax == 1 and head_sink is None:
        head_sink = number(build, 0, q)
    stepwise = bool(softcap) or head_sink is not None or bool(qk_output)
    if causal and past_key is None and local_window_size <= 0 and attention_bias is None and not stepwise:
        return join_heads(build, fused(build, q, k, v, mask, scale=scale or None, causal=True)), *present
    if causal:
        lags = lag(build, q, k, column(build, past))
        mask = mask.narrowed(build, within(build, lags, left=max(local_window_size, 0) - 1, right=0))
    else:
        mask = mask.narrowed(build, build(ops.Less(), counted(build, extent(build, k, 2)), column(build, lengths)))
    if not stepwise:
        return join_heads(build, fused(build, q, k, v, mask, scale=scale or None)), *present
    sink = None if head_sink is None else build(ops.Reshape(), head_sink, build.ints(1, -1, 1, 1))
    steps = spelled_out(build, q, k, v, mask, scale=_scale(build, q, scale), softcap=softcap, sink=sink)
    return join_heads(build, steps.output), *present, _asked(build, steps, qk_output)


def _asked(build: Build, steps: Steps, which: int) -> Value | None:
    if which not in {0, 1, 2}:
        raise build.refuse(f"qk_output is {which}, none of 0 to 2")
    return (None, steps.masked, steps.weights)[which]


def _grouped(
    build: Build, query: Value, key: Value | None, value: Value | None, heads: int, shared: int
) -> tuple[Value, Value, Value]:
    if key is None or value is None:
        size = known_extent(build, query, 2, "size of what is packed")
        if size % (heads + 2 * shared):
            raise ValueError(f"{size} elements are no {heads} heads of queries and twice {shared} of keys and values")
        one = size // (heads + 2 * shared)
        lengths = build.ints(heads * one, shared * one, shared * one)
        query, key, value = build.node(ops.VariadicSplit(), query, build.scalar(-1), lengths).outputs
    return split_heads(build, query, heads), split_heads(build, key, shared), split_heads(build, value, shared)


def _normalized(build: Build, x: Value, weight: Value, epsilon: float) -> Value:
    return simplified_layer_normalization(build, x, weight, epsilon=epsilon)[0]


def _positions(build: Build, q: Value, past: Value) -> Value:
    """The positions of the queries, ``[batch, sequence]``."""
    return build(ops.Add(), build(ops.Unsqueeze(), past, build.ints(1)), counted(build, extent(build, q, 2)))


def _alone(cache: Value) -> bool:
    """Whether a cache is that of one sequence, and as long as it is full."""
    shape = cache.fact.shape
    return shape is not None and shape[0] == 1 and not isinstance(shape[2], int)


def _cache_index(build: Build, cache: Value, new: Value, past: Value, total: Value) -> Value:
    """Where each token of the present comes from in the cache and what is new behind it, ``[batch, token]``.

    The present is as long as the cache, or the longest sequence if that is longer. What is behind the last token is
    from nowhere: zero.
    """
    room, count = extent(build, cache, 2), extent(build, new, 2)
    longest = build(ops.Squeeze(), build(ops.Reshape(), as_i64(build, total), build.ints(-1)), build.ints(0))
    places = counted(build, build(ops.Maximum(), room, longest))
    start = build(ops.Unsqueeze(), past, build.ints(1))
    behind = build(ops.Subtract(), places, start)
    fresh = build(
        ops.LogicalAnd(), build(ops.GreaterEqual(), behind, build.scalar(0)), build(ops.Less(), behind, count)
    )
    kept = build(ops.Select(), build(ops.Less(), places, start), places, build(ops.Add(), room, count))
    return build(ops.Select(), fresh, build(ops.Add(), behind, room), kept)


def _appended(build: Build, cache: Value, new: Value, past: Value, index: Value | None) -> Value:
    if index is not None:
        return build(ops.Gather(batch_dims=1), build(ops.Concat(2), cache, new), index, build.scalar(2))
    full = build(ops.Slice(), cache, build.ints(0), past, build.ints(1), build.ints(2))
    return build(ops.Concat(2), full, new)


@onnx.op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    build: Build, x: Value, position_ids: Value, cos_cache: Value, sin_cache: Value, *,
    interleaved: int = 0, is_packed_batching: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Value:  # fmt: skip
    """A single position is that of the first token."""
    if is_packed_batching or scale != 1:
        raise build.refuse("sequences are packed, or angles scaled")
    flat = build.rank(x) == 3
    head = 2 * known_extent(build, cos_cache, 1, "number of angles")
    places = as_i64(build, position_ids)
    if build.rank(position_ids, "position_ids") == 1:
        count = extent(build, x, 1 if flat else 2)
        places = build(ops.Unsqueeze(), build(ops.Add(), places, counted(build, count)), build.ints(0))
    cos, sin = (at_positions(build, table, places) for table in (cos_cache, sin_cache))
    if flat and num_heads:
        x = split_heads(build, x, num_heads)
    elif flat:
        apart = build(ops.Reshape(special_zero=True), x, build.ints(0, 0, -1, head))
        x = build(ops.Transpose(), apart, build.ints(0, 2, 1, 3))
    y = rotated(build, x, cos, sin, size=rotary_embedding_dim, interleaved=bool(interleaved))
    return join_heads(build, y) if flat else y


@onnx.op("MRotaryEmbedding", domain=MICROSOFT)
def m_rotary_embedding(
    build: Build, x: Value, position_ids: Value, cos_cache: Value, sin_cache: Value, *,
    interleaved: int = 0, is_packed_batching: int = 0, mrope_layout: int = 0, mrope_section: Ints, num_heads: int = 0,
    rotary_embedding_dim: int = 0, scale: float = 1.0,
) -> Value:  # fmt: skip
    """Each angle is that of one of three positions, ``[3, batch, sequence]``: of time, height or width."""
    if is_packed_batching or scale != 1:
        raise build.refuse("sequences are packed, or angles scaled")
    angles = known_extent(build, cos_cache, 1, "number of angles")
    which = _position_of(angles, mrope_section, interleaved=bool(mrope_layout))
    places = as_i64(build, position_ids)

    def chosen(table: Value) -> Value:
        """``[batch, 1, sequence, angle]``"""
        parts = build.node(ops.Split(3), build(ops.Gather(), table, places, build.scalar(0)), build.scalar(0)).outputs
        time, height, width = (build(ops.Squeeze(), part, build.ints(0)) for part in parts)
        rest = build(ops.Select(), build.const(which == 1), height, time)
        return build(ops.Unsqueeze(), build(ops.Select(), build.const(which == 2), width, rest), build.ints(1))

    flat = build.rank(x) == 3
    if flat:
        heads = num_heads or known_extent(build, x, 2, "hidden size") // (2 * angles)
        x = split_heads(build, x, heads)
    turn = rotary_embedding_dim or 2 * angles
    y = rotated(build, x, chosen(cos_cache), chosen(sin_cache), size=turn, interleaved=bool(interleaved))
    return join_heads(build, y) if flat else y


def _position_of(angles: int, sections: Ints, *, interleaved: bool) -> Array:
    """The number of the position of each angle: section by section, or in turns as long as a section lasts."""
    if len(sections) != 3 or min(sections) < 0 or sum(sections) != angles:
        raise ValueError(f"mrope_section is {sections}, three numbers with a sum of {angles} expected")
    if not interleaved:
        return np.repeat(np.arange(3), sections)
    place = np.arange(angles)
    return np.select([(place % 3 == n) & (place < 3 * sections[n]) for n in (1, 2)], [1, 2], 0)


@onnx.op("GemmaRotaryEmbedding", domain=MICROSOFT)
def gemma_rotary_embedding(
    build: Build, emb: Value, q: Value, q_rot: Value, k: Value, k_rot: Value
) -> tuple[Value, ...]:
    angles = build(ops.Unsqueeze(), emb, build.ints(1))
    cos, sin = (converted(build, build(op, angles), q.fact.dtype) for op in (ops.Cos(), ops.Sin()))
    return tuple(
        build(ops.Add(), build(ops.Multiply(), x, cos), build(ops.Multiply(), turned, sin))
        for x, turned in ((q, q_rot), (k, k_rot))
    )
