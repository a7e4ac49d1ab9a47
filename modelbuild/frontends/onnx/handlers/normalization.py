"""ONNX normalizations."""

from __future__ import annotations

from collections.abc import Iterable

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import axes_from, converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.ops import EpsJoin, EpsMode
from modelbuild.ops.axes import LONGEST
from modelbuild.tensor.dtype import ElementType, Ints

SINGLE = 1
"""ONNX's number for f32, as a ``stash_type``: normalise in single precision whatever the input is."""

TINY = 1e-30
"""A norm below this is that of nothing but zeros; its square root is a normal single-precision number."""


@onnx.op("BatchNormalization")
def batch_normalization_old(
    build: Build, x: Value, scale: Value, b: Value, mean: Value, var: Value, *,
    epsilon: float = 1e-5, is_test: int = 0, momentum: float = 0.9, spatial: int = 1,
) -> Value:  # fmt: skip
    """As inference: ``is_test`` was rarely set by those who meant it. The running statistics have no use then."""
    del is_test, momentum
    if not spatial:
        raise build.refuse("spatial is 0: statistics for each element cannot be translated")
    return build(ops.BatchNormInference(epsilon), x, scale, b, mean, var)


@onnx.op("BatchNormalization", since=14)
def batch_normalization(
    build: Build, x: Value, scale: Value, b: Value, mean: Value, var: Value, *,
    epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    dtype = x.fact.dtype
    scale, b, mean, var = (converted(build, v, dtype) for v in (scale, b, mean, var))
    if not training_mode:
        return (build(ops.BatchNormInference(epsilon), x, scale, b, mean, var),)
    axes = build.ints(0, *range(2, build.rank(x)))
    here = build(ops.ReduceMean(keep_dims=False), x, axes)
    centre = build(ops.ReduceMean(keep_dims=True), x, axes)
    spread = build(ops.ReduceMean(keep_dims=False), build(ops.SquaredDifference(), x, centre), axes)
    y = build(ops.BatchNormInference(epsilon), x, scale, b, here, spread)
    return y, _blended(build, mean, here, momentum), _blended(build, var, spread, momentum)


def _blended(build: Build, old: Value, new: Value, momentum: float) -> Value:
    kept = build(ops.Multiply(), old, number(build, momentum, old))
    return build(ops.Add(), kept, build(ops.Multiply(), new, number(build, 1 - momentum, new)))


@onnx.op("InstanceNormalization")
def instance_normalization(build: Build, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    y = build(ops.MVN(epsilon), x, axes_from(build, x, 2))
    spatial = build.rank(x) - 2
    return _affine(build, y, *(_upright(build, v, spatial) for v in (scale, b)))


def _upright(build: Build, numbers: Value, spatial: int) -> Value:
    """A number a channel, so that it meets axis 1."""
    return build(ops.Reshape(special_zero=False), numbers, build.ints(1, -1, *[1] * spatial)) if spatial else numbers


def _affine(build: Build, x: Value, scale: Value, shift: Value | None) -> Value:
    y = build(ops.Multiply(), x, scale)
    return y if shift is None else build(ops.Add(), y, shift)


@onnx.op("LayerNormalization", since=17)
def layer_normalization(
    build: Build, x: Value, scale: Value, b: Value | None = None, *,
    axis: int = -1, epsilon: float = 1e-5, stash_type: int = SINGLE,
) -> tuple[Value | None, ...]:  # fmt: skip
    y = normalized(build, x, scale, b, axis=axis, epsilon=epsilon, stash_type=stash_type)
    if not (build.wants(1) or build.wants(2)):
        return (y,)
    wide, axes = _stashed(build, x, stash_type), _trailing_axes(build, x, axis)
    mean = build(ops.ReduceMean(keep_dims=True), wide, axes)
    return y, mean, _inverse_deviation(build, build(ops.SquaredDifference(), wide, mean), axes, epsilon)


def normalized(
    build: Build, x: Value, scale: Value, shift: Value | None, *, axis: int, epsilon: float, stash_type: int = SINGLE
) -> Value:
    """``x`` less its mean over its deviation, along ``axis`` and those that follow it."""
    wide = build(ops.MVN(epsilon), _stashed(build, x, stash_type), _trailing_axes(build, x, axis))
    return _affine(build, converted(build, wide, x.fact.dtype), scale, shift)


@onnx.op("LayerNormalization")
def layer_normalization_experimental(
    build: Build, x: Value, scale: Value, b: Value | None = None, *,
    axis: int = -1, epsilon: float = 1e-5, stash_type: int = SINGLE,
) -> tuple[Value | None, ...]:  # fmt: skip
    """As onnxruntime had it before ONNX did."""
    return layer_normalization(build, x, scale, b, axis=axis, epsilon=epsilon, stash_type=stash_type)


def _trailing_axes(build: Build, x: Value, axis: int) -> Value:
    if axis < 0:
        rank = x.fact.rank or LONGEST
        return build.ints(*range(build.axis(axis, rank) - rank, 0))
    return axes_from(build, x, axis)


def _stashed(build: Build, x: Value, stash_type: int) -> Value:
    return converted(build, x, ElementType.f32) if stash_type == SINGLE else x


def _inverse_deviation(build: Build, squares: Value, axes: Value, epsilon: float) -> Value:
    variance = build(ops.ReduceMean(keep_dims=True), squares, axes)
    deviation = build(ops.Sqrt(), build(ops.Add(), variance, number(build, epsilon, variance)))
    return build(ops.Divide(), number(build, 1, deviation), deviation)


@onnx.op("RMSNormalization", since=23)
def rms_normalization(
    build: Build, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = SINGLE,
) -> Value:  # fmt: skip
    return build(ops.Multiply(), _rms(build, x, axis, epsilon, stash_type)[0], scale)


def _rms(build: Build, x: Value, axis: int, epsilon: float, stash_type: int) -> tuple[Value, Value]:
    """``x`` over its root mean square, in the form that the runtime has a kernel for, and the inverse of that root."""
    wide = _stashed(build, x, stash_type)
    squares = build(ops.Power(), wide, number(build, 2, wide))
    inverse = _inverse_deviation(build, squares, _trailing_axes(build, x, axis), epsilon)
    return converted(build, build(ops.Multiply(), wide, inverse), x.fact.dtype), inverse


@onnx.op("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    build: Build, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = SINGLE,
) -> tuple[Value, ...]:  # fmt: skip
    """The name that onnxruntime has for :func:`rms_normalization`; the second output is the inverse of the root."""
    y, inverse = _rms(build, x, axis, epsilon, stash_type)
    return build(ops.Multiply(), y, scale), inverse


onnx.op("SimplifiedLayerNormalization", domain=MICROSOFT)(simplified_layer_normalization)


@onnx.op("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    build: Build, x: Value, skip: Value, gamma: Value, beta: Value | None = None, bias: Value | None = None, *,
    epsilon: float = 1e-12,
) -> tuple[Value | None, ...]:  # fmt: skip
    total = _sum(build, (x, skip, bias))
    y = _affine(build, build(ops.MVN(epsilon), total, build.ints(-1)), gamma, beta)
    return y, None, None, total


@onnx.op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    build: Build, x: Value, skip: Value, gamma: Value, bias: Value | None = None, *, epsilon: float = 1e-12,
) -> tuple[Value, None, None, Value]:  # fmt: skip
    total = _sum(build, (x, skip, bias))
    y = build(ops.Multiply(), _rms(build, total, -1, epsilon, SINGLE)[0], gamma)
    return y, None, None, total


def _sum(build: Build, values: Iterable[Value | None]) -> Value:
    first, *others = (v for v in values if v is not None)
    for other in others:
        first = build(ops.Add(), first, other)
    return first


@onnx.op("GroupNormalization", since=18)
def group_normalization_of_groups(
    build: Build, x: Value, scale: Value, bias: Value, *, epsilon: float = 1e-5, num_groups: int
) -> Value:
    """Scale and bias are one a group."""
    groups = build(ops.Reshape(special_zero=True), x, build.ints(0, num_groups, -1))
    flat = build(ops.MVN(epsilon), groups, build.ints(2))
    y = _affine(build, flat, *(_upright(build, v, 1) for v in (scale, bias)))
    return build(ops.Reshape(special_zero=False), y, shape_of(build, x))


@onnx.op("GroupNormalization", since=21)
def group_normalization(
    build: Build, x: Value, scale: Value, bias: Value, *,
    epsilon: float = 1e-5, num_groups: int, stash_type: int = SINGLE,
) -> Value:  # fmt: skip
    """Scale and bias are one a channel."""
    wide, *affine = (_stashed(build, v, stash_type) for v in (x, scale, bias))
    return converted(build, build(ops.GroupNormalization(num_groups, epsilon), wide, *affine), x.fact.dtype)


@onnx.op("LRN")
def lrn(build: Build, x: Value, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Value:
    return build(ops.LRN(alpha, beta, bias, size), x, build.ints(1))


@onnx.op("LpNormalization")
def lp_normalization(build: Build, x: Value, *, axis: int = -1, p: int = 2) -> Value:
    """Nothing but zeros stays zero."""
    if p == 2:
        return build(ops.NormalizeL2(TINY, EpsJoin.MAX), x, build.ints(axis))
    if p != 1:
        raise ValueError(f"p is {p}, neither 1 nor 2")
    norm = build(ops.ReduceL1(keep_dims=True), x, build.ints(axis))
    return build(ops.Divide(), x, build(ops.Maximum(), norm, number(build, TINY, norm)))


@onnx.op("MeanVarianceNormalization", since=9)
def mean_variance_normalization(build: Build, x: Value, *, axes: Ints = (0, 2, 3)) -> Value:
    return build(ops.MVN(1e-9, eps_mode=EpsMode.OUTSIDE_SQRT), x, build.ints(*axes))
