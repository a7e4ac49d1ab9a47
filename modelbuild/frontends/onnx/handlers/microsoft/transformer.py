"""What onnxruntime's tools for transformers fuse around attention."""

from __future__ import annotations

import math

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import as_i64, counted, extent, known_extent, split_heads
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, extents, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType

FARTHEST = 1 << 16
"""Distances that are listed one by one; models have some hundreds."""


@onnx.op("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    build: Build, input_ids: Value, segment_ids: Value | None, word_embedding: Value, position_embedding: Value,
    segment_embedding: Value | None, gamma: Value, beta: Value, mask: Value | None = None,
    position_ids: Value | None = None, *, epsilon: float = 1e-12, mask_index_type: int = 0,
) -> tuple[Value | None, ...]:  # fmt: skip
    """The second output counts the words that are no padding, or is zero if there is no mask."""
    del mask_index_type
    if position_ids is None:
        position_ids = counted(build, extent(build, input_ids, 1))
    total = build(ops.Add(), _rows(build, word_embedding, input_ids), _rows(build, position_embedding, position_ids))
    if segment_ids is not None and segment_embedding is not None:
        total = build(ops.Add(), total, _rows(build, segment_embedding, segment_ids))
    flat = build(ops.MVN(epsilon), total, build.ints(-1))
    y = build(ops.Add(), build(ops.Multiply(), flat, gamma), beta)
    if mask is None:
        words = build(ops.Broadcast(), build.scalar(0, ElementType.i32), extents(build, input_ids, 0))
    else:
        words = converted(build, build(ops.ReduceSum(keep_dims=False), mask, build.ints(1)), ElementType.i32)
    return y, words, total


@onnx.op("QEmbedLayerNormalization", domain=MICROSOFT)
def quantized_embed_layer_normalization(
    build: Build, input_ids: Value, segment_ids: Value | None, word_embedding: Value, position_embedding: Value,
    segment_embedding: Value | None, gamma: Value, beta: Value, mask: Value | None, word_scale: Value,
    position_scale: Value, segment_scale: Value | None, gamma_scale: Value, beta_scale: Value, word_zero: Value,
    position_zero: Value, segment_zero: Value | None, gamma_zero: Value, beta_zero: Value, *, epsilon: float = 1e-12,
) -> tuple[Value | None, ...]:  # fmt: skip
    word, position, weight, shift = (
        dequantized(build, table, Scale(factor, zero))
        for table, factor, zero in (
            (word_embedding, word_scale, word_zero), (position_embedding, position_scale, position_zero),
            (gamma, gamma_scale, gamma_zero), (beta, beta_scale, beta_zero),
        )
    )  # fmt: skip
    segment = None
    if segment_embedding is not None and segment_scale is not None:
        segment = dequantized(build, segment_embedding, Scale(segment_scale, segment_zero))
    y, words, _ = embed_layer_normalization(
        build, input_ids, segment_ids, word, position, segment, weight, shift, mask, epsilon=epsilon
    )
    return y, words


def _rows(build: Build, table: Value, indices: Value) -> Value:
    return build(ops.Gather(), table, indices, build.scalar(0))


@onnx.op("BiasAdd", domain=MICROSOFT)
def bias_add(build: Build, x: Value, bias: Value, skip: Value) -> Value:
    return build(ops.Add(), build(ops.Add(), x, bias), skip)


@onnx.op("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(build: Build, x: Value, bias: Value) -> Value:
    left, right = build.node(ops.Split(2), build(ops.Add(), x, bias), build.scalar(-1)).outputs
    return build(ops.Multiply(), left, build(ops.Gelu(), right))


@onnx.op("RelativePositionBias", domain=MICROSOFT)
def relative_position_bias(
    build: Build, bias_table: Value, query_length: Value, key_length: Value, *,
    is_bidirectional: int = 0, max_distance: int,
) -> Value:  # fmt: skip
    """One number a head for how far a key is from a query; far distances share one.

    The table is written column by column: a head's numbers lie together, whatever its shape says.
    """
    buckets, heads = (known_extent(build, bias_table, axis, "size of the table") for axis in (0, 1))
    if not 0 < max_distance <= FARTHEST or buckets < (4 if is_bidirectional else 2):
        raise build.refuse(f"{buckets} distances up to {max_distance}")
    by_head = build(ops.Reshape(special_zero=False), bias_table, build.ints(heads, buckets))
    queries, keys = (_scalar(build, length) for length in (query_length, key_length))
    rows = build(ops.Unsqueeze(), counted(build, queries), build.ints(1))
    behind = build(ops.Subtract(), rows, counted(build, keys))
    listed = build.const(bucket_of(buckets // 2 if is_bidirectional else buckets, max_distance))
    away = build(ops.Abs(), behind) if is_bidirectional else build(ops.Maximum(), behind, build.scalar(0))
    index = _rows(build, listed, build(ops.Minimum(), away, build.scalar(max_distance)))
    if is_bidirectional:
        ahead = build(ops.Less(), behind, build.scalar(0))
        other = build(ops.Select(), ahead, build.scalar(buckets // 2), build.scalar(0))
        index = build(ops.Add(), index, other)
    return build(ops.Unsqueeze(), build(ops.Gather(), by_head, index, build.scalar(1)), build.ints(0))


def bucket_of(buckets: int, farthest: int) -> Array:
    """The bucket of each distance up to ``farthest``: the first half one by one, the others by their logarithm."""
    near = buckets // 2
    away = np.arange(farthest + 1)
    ratio = np.float32(math.log(farthest / near)) if farthest > near else np.float32(1)
    log = np.log(np.maximum(away, 1).astype(np.float32) / np.float32(near)) / ratio
    far = np.minimum(near + (log * np.float32(buckets - near)).astype(np.int64), buckets - 1)
    return np.where(away < near, away, far)


def _scalar(build: Build, x: Value) -> Value:
    return build(ops.Reshape(special_zero=False), as_i64(build, x), build.const(np.zeros(0, np.int64)))


@onnx.op("GatedRelativePositionBias", domain=MICROSOFT)
def gated_relative_position_bias(
    build: Build, query_layer: Value, query_bias: Value, rel_pos: Value, weight: Value, bias: Value, eco_a: Value,
    token_offset: Value | None = None, *, num_heads: int,
) -> Value:  # fmt: skip
    if token_offset is not None:
        raise build.refuse("its tokens are packed")
    q = split_heads(build, build(ops.Add(), query_layer, query_bias), num_heads)
    gates = build(ops.Add(), build(ops.MatMul(), q, weight), bias)
    halves = build(ops.Reshape(special_zero=True), gates, build.ints(0, 0, 0, 2, -1))
    both = build(ops.Sigmoid(), build(ops.ReduceSum(keep_dims=False), halves, build.ints(4)))
    update, reset = build.node(ops.Split(2), both, build.scalar(-1)).outputs
    kept = build(ops.Subtract(), build(ops.Multiply(), reset, eco_a), number(build, 1, reset))
    gate = build(ops.Add(), build(ops.Multiply(), update, kept), number(build, 2, update))
    return build(ops.Multiply(), gate, rel_pos)


@onnx.op("GroupNorm", domain=MICROSOFT)
def group_norm(
    build: Build, x: Value, gamma: Value, beta: Value, *,
    activation: int, channels_last: int = 1, epsilon: float = 1e-5, groups: int,
) -> Value:  # fmt: skip
    """Of images whose channels come last, unless they do not."""
    if channels_last:
        x = build(ops.Transpose(), x, build.ints(0, 3, 1, 2))
    gamma, beta = (converted(build, v, x.fact.dtype) for v in (gamma, beta))
    y = build(ops.GroupNormalization(groups, epsilon), x, gamma, beta)
    if activation not in {0, 1}:
        raise build.refuse(f"its activation {activation} is not known")
    y = build(ops.Swish(), y) if activation else y
    return build(ops.Transpose(), y, build.ints(0, 2, 3, 1)) if channels_last else y


@onnx.op("SkipGroupNorm", domain=MICROSOFT)
def skip_group_norm(
    build: Build, x: Value, gamma: Value, beta: Value, skip: Value, bias: Value | None = None, *,
    activation: int, channels_last: int = 1, epsilon: float = 1e-5, groups: int,
) -> tuple[Value, Value]:  # fmt: skip
    """What is added may be one number a channel, ``[batch, channels]``."""
    spatial = build.ints(1, 2) if channels_last else build.ints(2, 3)
    if build.rank(skip, "skip") == 2:
        skip = build(ops.Unsqueeze(), skip, spatial)
    total = build(ops.Add(), x, skip)
    if bias is not None:
        shifted = bias if channels_last else build(ops.Reshape(), bias, build.ints(-1, 1, 1))
        total = build(ops.Add(), total, shifted)
    y = group_norm(
        build, total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon, groups=groups
    )
    return y, total
