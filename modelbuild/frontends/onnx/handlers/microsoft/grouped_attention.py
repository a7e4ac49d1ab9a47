"""Attention whose heads of queries share those of keys, with a cache of what came before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import (
    Mask,
    Steps,
    as_i64,
    at_positions,
    chosen_scale,
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
    within,
)
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.normalization import simplified_layer_normalization
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array


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
    past = _before(build, lengths, q)
    if do_rotary:
        places = _positions(build, q, past) if position_ids is None else as_i64(build, position_ids)
        q, k = _turned(build, (q, k), cos_cache, sin_cache, places, interleaved=bool(rotary_interleaved))
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
    steps = spelled_out(build, q, k, v, mask, scale=chosen_scale(build, q, scale), softcap=softcap, sink=sink)
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


def _before(build: Build, lengths: Value, new: Value) -> Value:
    """How many tokens each sequence had before the new ones."""
    return build(ops.Maximum(), build(ops.Subtract(), lengths, extent(build, new, 2)), build.scalar(0))


def _turned(
    build: Build, values: Sequence[Value], cos: Value | None, sin: Value | None, places: Value, *, interleaved: bool
) -> tuple[Value, ...]:
    if cos is None or sin is None:
        raise ValueError("do_rotary is 1, but there are no tables of angles")
    angles = [at_positions(build, table, places) for table in (cos, sin)]
    turn = 2 * known_extent(build, cos, 1, "number of angles")
    return tuple(rotated(build, x, *angles, size=turn, interleaved=interleaved) for x in values)


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


# --- SparseAttention -------------------------------------------------------------------------------------------------


@onnx.op("SparseAttention", domain=MICROSOFT)
def sparse_attention(
    build: Build, query: Value, key: Value | None, value: Value | None, past_key: Value, past_value: Value,
    block_row_indices: Value, block_col_indices: Value, total_sequence_length: Value,
    key_total_sequence_lengths: Value, cos_cache: Value | None = None, sin_cache: Value | None = None, *,
    do_rotary: int = 0, kv_num_heads: int, num_heads: int, rotary_interleaved: int = 0, scale: float = 0.0,
    sparse_block_size: int,
) -> tuple[Value, ...]:  # fmt: skip
    """:func:`group_query_attention` that sees some blocks of the keys only: a mask here, nothing is left out."""
    q, k, v = _grouped(build, query, key, value, num_heads, kv_num_heads)
    lengths = build(ops.Reshape(special_zero=False), as_i64(build, key_total_sequence_lengths), build.ints(-1))
    past = _before(build, lengths, q)
    places = _positions(build, q, past)
    if do_rotary:
        q, k = _turned(build, (q, k), cos_cache, sin_cache, places, interleaved=bool(rotary_interleaved))
    index = _cache_index(build, past_key, k, past, total_sequence_length)
    k, v = present = tuple(_appended(build, old, new, past, index) for old, new in ((past_key, k), (past_value, v)))
    blocks = _visible(build, block_row_indices, block_col_indices, num_heads)
    causal = within(build, lag(build, q, k, column(build, past)), right=0)
    mask = Mask(_of_blocks(build, blocks, places, counted(build, extent(build, k, 2)), sparse_block_size))
    k, v = repeated_heads(build, k, q), repeated_heads(build, v, q)
    return join_heads(build, fused(build, q, k, v, mask.narrowed(build, causal), scale=scale or None)), *present


def _visible(build: Build, row_indices: Value, column_indices: Value, heads: int) -> Array:
    """Whether a block of queries sees one of keys, ``[head, query, key]``; heads take turns with the layouts.

    A row's columns lie between where it begins and where the next one does.
    """
    if row_indices.fact.value is None or column_indices.fact.value is None:
        raise build.refuse("which blocks are seen is computed at run time, constants are needed")
    ends, columns = (v.fact.value.numpy() for v in (row_indices, column_indices) if v.fact.value is not None)
    if ends.ndim != 2 or columns.ndim != 2 or len(ends) != len(columns) or not len(ends) or heads % len(ends):
        raise ValueError(f"{row_indices.fact} and {column_indices.fact} are no layouts for {heads} heads")
    blocks = ends.shape[1] - 1
    place = np.arange(columns.shape[1])
    of_row = (place >= ends[:, :-1, None]) & (place < ends[:, 1:, None])
    seen = (of_row[..., None] & (columns[:, None, :, None] == np.arange(blocks))).any(2)
    return seen if len(ends) == 1 else np.tile(seen, (heads // len(ends), 1, 1))


def _of_blocks(build: Build, seen: Array, queries: Value, keys: Value, size: int) -> Value:
    """What is said of blocks, for each query, ``[batch, query]``, and each key: ``[batch, head, query, key]``."""
    rows, columns = (build(ops.Divide(), places, build.scalar(size)) for places in (queries, keys))
    by_row = build(ops.Gather(), build.const(seen), rows, build.scalar(1))
    batch_first = build(ops.Transpose(), by_row, build.ints(1, 0, 2, 3))
    return build(ops.Gather(), batch_first, columns, build.scalar(3))
