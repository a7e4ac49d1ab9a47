"""Attention and rotary embeddings as ONNX has them."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
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
    lag,
    reaching,
    repeated_heads,
    rotated,
    spelled_out,
    split_heads,
    usual_scale,
    within,
    zero_where_blind,
)
from modelbuild.frontends.onnx.handlers.convert import type_named
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("Attention", since=23)
def attention_23(
    build: Build, q: Value, k: Value, v: Value, attn_mask: Value | None = None,
    past_key: Value | None = None, past_value: Value | None = None, *,
    is_causal: int = 0, kv_num_heads: int = 0, q_num_heads: int = 0, qk_matmul_output_mode: int = 0,
    scale: float | None = None, softcap: float = 0.0, softmax_precision: int = 0,
) -> tuple[Value | None, ...]:  # fmt: skip
    return attention_25(
        build, q, k, v, attn_mask, past_key, past_value, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision,
    )  # fmt: skip


@onnx.op("Attention", since=24)
def attention_24(
    build: Build, q: Value, k: Value, v: Value, attn_mask: Value | None = None,
    past_key: Value | None = None, past_value: Value | None = None, nonpad_kv_seqlen: Value | None = None, *,
    is_causal: int = 0, kv_num_heads: int = 0, q_num_heads: int = 0, qk_matmul_output_mode: int = 0,
    scale: float | None = None, softcap: float = 0.0, softmax_precision: int = 0,
) -> tuple[Value | None, ...]:  # fmt: skip
    return attention_25(
        build, q, k, v, attn_mask, past_key, past_value, nonpad_kv_seqlen, is_causal=is_causal,
        kv_num_heads=kv_num_heads, q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale,
        softcap=softcap, softmax_precision=softmax_precision,
    )  # fmt: skip


@onnx.op("Attention", since=25)
def attention_25(
    build: Build, q: Value, k: Value, v: Value, attn_mask: Value | None = None,
    past_key: Value | None = None, past_value: Value | None = None, nonpad_kv_seqlen: Value | None = None, *,
    is_causal: int = 0, kv_num_heads: int = 0, left_window_size: int = -1, q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0, right_window_size: int = -1, scale: float | None = None, softcap: float = 0.0,
    softmax_precision: int = 0,
) -> tuple[Value | None, ...]:  # fmt: skip
    """With a past, query 0 is behind it; with ``nonpad_kv_seqlen``, the last query meets the last key that counts.

    A query that sees nothing gives zeros.
    """
    flat = build.rank(q, "Q") == 3
    if flat:
        if not (q_num_heads and kv_num_heads):
            raise ValueError("tensors of three axes need q_num_heads and kv_num_heads")
        q, k, v = (split_heads(build, x, n) for x, n in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    if past_key is not None and past_value is not None:
        k, v = build(ops.Concat(2), past_key, k), build(ops.Concat(2), past_value, v)
    present = k, v
    offset = _offset(build, q, past_key, nonpad_kv_seqlen)
    plainly_causal = bool(is_causal) and not (attn_mask or offset) and left_window_size < 0 and right_window_size < 0
    mask = Mask()
    if not plainly_causal:
        right = 0 if is_causal else right_window_size
        mask = _mask(build, q, k, attn_mask, nonpad_kv_seqlen, offset, left=left_window_size, right=right)
    k, v = repeated_heads(build, k, q), repeated_heads(build, v, q)
    if softcap or softmax_precision or build.wants(3) or v.fact.dtype is not q.fact.dtype:
        if plainly_causal:
            mask = Mask(within(build, lag(build, q, k), right=0))
        factor = number(build, scale, q) if scale is not None else usual_scale(build, q)
        precision = type_named(build, softmax_precision) if softmax_precision else None
        guarded = attn_mask is not None or nonpad_kv_seqlen is not None or left_window_size >= 0
        steps = spelled_out(build, q, k, v, mask, scale=factor, softcap=softcap, precision=precision, guarded=guarded)
        y, scores = steps.output, _step(build, steps, qk_matmul_output_mode)
    else:
        y, scores = fused(build, q, k, v, mask, scale=scale, causal=plainly_causal), None
        y = zero_where_blind(build, y, mask)
    return join_heads(build, y) if flat else y, *present, scores


def _step(build: Build, steps: Steps, mode: int) -> Value:
    stages = (steps.raw, steps.capped, steps.masked, steps.weights)
    if not 0 <= mode < len(stages):
        raise build.refuse(f"qk_matmul_output_mode is {mode}, none of 0 to 3")
    return stages[mode]


def _offset(build: Build, q: Value, past: Value | None, lengths: Value | None) -> Value | None:
    if past is not None:
        return extent(build, past, 2)
    if lengths is None:
        return None
    return build(ops.Subtract(), column(build, lengths), extent(build, q, 2))


def _mask(
    build: Build, q: Value, k: Value, given: Value | None, lengths: Value | None, offset: Value | None, *,
    left: int, right: int,
) -> Mask:  # fmt: skip
    mask = Mask()
    if given is not None:
        given = reaching(build, given, k)
        boolean = given.fact.dtype is ElementType.boolean
        mask = Mask(seen=given) if boolean else Mask(bias=converted(build, given, q.fact.dtype))
    if left >= 0 or right >= 0:
        mask = mask.narrowed(build, within(build, lag(build, q, k, offset), left=left, right=right))
    if lengths is not None:
        places = counted(build, extent(build, k, 2))
        mask = mask.narrowed(build, build(ops.Less(), places, column(build, lengths)))
    return mask


@onnx.op("RotaryEmbedding", since=23)
def rotary_embedding(
    build: Build, x: Value, cos_cache: Value, sin_cache: Value, position_ids: Value | None = None, *,
    interleaved: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0,
) -> Value:  # fmt: skip
    """Without positions the tables have a row a batch and position already."""
    if position_ids is None:
        cos, sin = (build(ops.Unsqueeze(), table, build.ints(1)) for table in (cos_cache, sin_cache))
    else:
        cos, sin = (at_positions(build, table, as_i64(build, position_ids)) for table in (cos_cache, sin_cache))
    flat = build.rank(x) == 3
    if flat and not num_heads:
        raise ValueError("a tensor of three axes needs num_heads")
    apart = split_heads(build, x, num_heads) if flat else x
    y = rotated(build, apart, cos, sin, size=rotary_embedding_dim, interleaved=bool(interleaved))
    return join_heads(build, y) if flat else y
