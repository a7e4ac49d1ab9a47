"""Residual streams in several branches, ``[…, branch, feature]``, which may be one axis.

Everything is computed in single precision and rounded once.
"""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.normalization import rms_normalization
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32


@onnx.op("BranchwiseRMSNorm", domain=MICROSOFT)
def branchwise_rms_norm(
    build: Build, x: Value, scale: Value | None = None, *, epsilon: float = 1e-5, num_branches: int = 0
) -> Value:
    """The scale may be one for all branches."""
    apart = _apart(build, x, num_branches)
    factor = build.scalar(1, _F32) if scale is None else converted(build, scale, _F32)
    if scale is not None and num_branches and scale.fact.rank == 1 and _features(build, apart) != _size(build, scale):
        factor = build(ops.Reshape(special_zero=False), factor, build.ints(num_branches, -1))
    return _joined(build, rms_normalization(build, apart, factor, epsilon=epsilon), x)


def _features(build: Build, apart: Value) -> int:
    return known_extent(build, apart, build.rank(apart) - 1, "number of features")


def _size(build: Build, scale: Value) -> int:
    return known_extent(build, scale, 0, "number of scales")


@onnx.op("HyperConnectionPreMix", domain=MICROSOFT)
def hyper_connection_pre_mix(
    build: Build, streams: Value, pre_mix: Value, *, num_branches: int = 0, reduction_scale: float = 1.0
) -> Value:
    """The sum of all branches times their gates."""
    apart = _apart(build, streams, num_branches)
    gated = build(ops.Multiply(), apart, _gates(build, pre_mix, apart, num_branches))
    total = build(ops.ReduceSum(keep_dims=False), gated, build.ints(-2))
    return converted(build, build(ops.Multiply(), total, number(build, reduction_scale, total)), streams.fact.dtype)


@onnx.op("HyperConnectionPostMix", domain=MICROSOFT)
def hyper_connection_post_mix(
    build: Build, streams: Value, block_output: Value, post_mix: Value, stream_mix: Value | None = None, *,
    num_branches: int = 0,
) -> Value:  # fmt: skip
    """The branches, mixed by a matrix ``[…, from, to]`` if there is one, and what a block gives, times gates."""
    apart = _apart(build, streams, num_branches)
    kept = apart
    if stream_mix is not None:
        kept = build(ops.MatMul(transpose_a=True), converted(build, stream_mix, _F32), apart)
    made = build(ops.Unsqueeze(), converted(build, block_output, _F32), build.ints(-2))
    added = build(ops.Multiply(), made, _gates(build, post_mix, apart, num_branches))
    return _joined(build, build(ops.Add(), kept, added), streams)


def _apart(build: Build, x: Value, branches: int) -> Value:
    """``[…, branch, feature]``"""
    wide = converted(build, x, _F32)
    if not branches:
        return wide
    outer = build.rank(x) - 1
    return build(ops.Reshape(special_zero=True), wide, build.ints(*[0] * outer, branches, -1))


def _joined(build: Build, y: Value, like: Value) -> Value:
    """In the shape and the type of what came in."""
    flat = y if y.fact.rank == like.fact.rank else build(ops.Reshape(special_zero=False), y, shape_of(build, like))
    return converted(build, flat, like.fact.dtype)


def _gates(build: Build, gates: Value, apart: Value, branches: int) -> Value:
    """One number a branch, or one a feature, which may be in one axis with the branches."""
    rank, wide = build.rank(gates, "gates"), converted(build, gates, _F32)
    if rank == build.rank(apart):
        return wide
    count = known_extent(build, gates, rank - 1, "number of gates")
    if branches and count != branches:
        return build(ops.Reshape(special_zero=True), wide, build.ints(*[0] * (rank - 1), branches, -1))
    return build(ops.Unsqueeze(), wide, build.ints(-1))


@onnx.op("HyperConnectionLowRankMix", domain=MICROSOFT)
def hyper_connection_low_rank_mix(
    build: Build, streams: Value, norm_scale: Value, down_weight: Value, up_weight: Value, inject_weight: Value,
    prev_block_output: Value | None = None, prev_post_gate: Value | None = None, *,
    epsilon: float = 1e-5, gate_div: float = 1.0, gate_mul: float = 1.0, num_branches: int,
    reduction_scale: float = 1.0, silu_alpha: float = 1.0,
) -> tuple[Value, ...]:  # fmt: skip
    """What goes into a block: the branches times gates that a narrow layer makes of them all.

    The second output is how much of the block's answer each branch takes, the third the branches with that of the
    block before.
    """
    if prev_block_output is not None and prev_post_gate is not None:
        streams = hyper_connection_post_mix(
            build, streams, prev_block_output, prev_post_gate, num_branches=num_branches
        )
    normed = converted(
        build, branchwise_rms_norm(build, streams, norm_scale, epsilon=epsilon, num_branches=num_branches), _F32
    )
    down, up, inject = (converted(build, w, _F32) for w in (down_weight, up_weight, inject_weight))
    narrow = build(ops.MatMul(), normed, down)
    hidden = build(ops.Swish(), build(ops.Multiply(), narrow, number(build, silu_alpha, narrow)))
    gates = build(ops.Sigmoid(), build(ops.MatMul(), hidden, up))
    gated = _apart(build, build(ops.Multiply(), normed, gates), num_branches)
    total = build(ops.ReduceSum(keep_dims=False), gated, build.ints(-2))
    mixed = build(ops.Multiply(), total, number(build, reduction_scale, total))
    injected = build(ops.MatMul(), normed, inject)
    share = build(ops.Sigmoid(), build(ops.Divide(), injected, number(build, gate_div, injected)))
    share = build(ops.Multiply(), share, number(build, gate_mul, share))
    return *(converted(build, v, streams.fact.dtype) for v in (mixed, share)), streams


@onnx.op("EngramGate", domain=MICROSOFT)
def engram_gate(
    build: Build, key: Value, query: Value, value: Value, key_norm_scale: Value, query_norm_scale: Value,
    conv_norm_scale: Value | None = None, *, epsilon: float = 1e-5,
) -> tuple[Value | None, ...]:  # fmt: skip
    """How much of a value, ``[batch, token, feature]``, gets into each branch, by how alike key and query are."""
    sides = ((key, key_norm_scale), (query, query_norm_scale))
    left, right = (
        rms_normalization(build, converted(build, x, _F32), converted(build, scale, _F32), epsilon=epsilon)
        for x, scale in sides
    )
    dot = build(ops.ReduceSum(keep_dims=True), build(ops.Multiply(), left, right), build.ints(-1))
    dot = build(ops.Multiply(), dot, number(build, _features(build, key) ** -0.5, dot))
    size = build(ops.Sqrt(), build(ops.Maximum(), build(ops.Abs(), dot), number(build, 1e-6, dot)))
    gate = build(ops.Sigmoid(), build(ops.Multiply(), build(ops.Sign(), dot), size))
    gated = build(ops.Multiply(), gate, build(ops.Unsqueeze(), converted(build, value, _F32), build.ints(2)))
    y = converted(build, gated, key.fact.dtype)
    if conv_norm_scale is None:
        return y, None
    normed = rms_normalization(build, gated, converted(build, conv_norm_scale, _F32), epsilon=epsilon)
    return y, converted(build, normed, key.fact.dtype)
