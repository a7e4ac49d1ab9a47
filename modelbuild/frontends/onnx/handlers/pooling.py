"""ONNX poolings."""

from __future__ import annotations

import math

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.convolution import window_of
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import axes_from, converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.ops import Padding, Rest, Window
from modelbuild.tensor.dtype import ElementType, Ints


@onnx.op("MaxPool")
def max_pool(
    build: Build, x: Value, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints = (), kernel_shape: Ints,
    pads: Ints = (), storage_order: int = 0, strides: Ints = (),
) -> tuple[Value, Value | None]:  # fmt: skip
    window = window_of(kernel_shape, auto_pad, strides, dilations, pads)
    rest = _rest(window, kernel_shape, x, ceil=bool(ceil_mode))
    kind = ops.MaxPool14 if rest is Rest.CEIL_TORCH else ops.MaxPool
    values, indices = build.node(kind(window, kernel_shape, rest), x).outputs
    if not build.wants(1):
        return values, None
    return values, _column_major(build, indices, x) if storage_order else indices


def _rest(window: Window, kernel: Ints, x: Value, *, ceil: bool) -> Rest:
    """ONNX drops a window that would begin in the padding at the end; the plain form is taken where there is none."""
    if not ceil:
        return Rest.FLOOR
    shapes = {rest: ops.MaxPool(window, kernel, rest).infer(x.fact)[0].shape for rest in (Rest.CEIL, Rest.CEIL_TORCH)}
    return Rest.CEIL if shapes[Rest.CEIL] == shapes[Rest.CEIL_TORCH] and x.fact.is_static else Rest.CEIL_TORCH


def _column_major(build: Build, indices: Value, x: Value) -> Value:
    """Indices into the flattened tensor whose last two axes are stored the other way round."""
    shape = x.fact.static_shape
    if shape is None or len(shape) != 4:
        raise build.refuse(f"storage_order is 1 and the input {x.fact}; a known shape of four axes is needed")
    height, width = shape[2:]
    plane = build.scalar(height * width)
    within = build(ops.FloorMod(), indices, plane)
    before = build(ops.Subtract(), indices, within)
    row = build(ops.Divide(), within, build.scalar(width))
    column = build(ops.FloorMod(), within, build.scalar(width))
    place = build(ops.Add(), build(ops.Multiply(), column, build.scalar(height)), row)
    return build(ops.Add(), before, place)


@onnx.op("AveragePool")
def average_pool(
    build: Build, x: Value, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0, dilations: Ints = (),
    kernel_shape: Ints, pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    window = window_of(kernel_shape, auto_pad, strides, dilations, pads)
    rest = _rest(window, kernel_shape, x, ceil=bool(ceil_mode))
    return averaged(build, x, window, kernel_shape, exclude_pad=not count_include_pad, rest=rest)


def averaged(build: Build, x: Value, window: Window, kernel: Ints, *, exclude_pad: bool, rest: Rest) -> Value:
    """The mean of each window, in the oldest form that can say it."""
    common = (window.strides, window.pads_begin, window.pads_end, kernel, exclude_pad, rest, window.auto_pad)
    if any(d != 1 for d in window.dilations):
        return build(ops.AvgPool16(*common, dilations=window.dilations), x)
    return build((ops.AvgPool14 if rest is Rest.CEIL_TORCH else ops.AvgPool)(*common), x)


@onnx.op("GlobalAveragePool")
def global_average_pool(build: Build, x: Value) -> Value:
    return build(ops.ReduceMean(keep_dims=True), x, axes_from(build, x, 2))


@onnx.op("GlobalMaxPool")
def global_max_pool(build: Build, x: Value) -> Value:
    return build(ops.ReduceMax(keep_dims=True), x, axes_from(build, x, 2))


@onnx.op("GlobalLpPool")
def global_lp_pool(build: Build, x: Value, *, p: int = 2) -> Value:
    axes = axes_from(build, x, 2)
    if p in {1, 2}:
        return build((ops.ReduceL1 if p == 1 else ops.ReduceL2)(keep_dims=True), x, axes)
    return _root(build, build(ops.ReduceSum(keep_dims=True), _powered(build, x, p), axes), p)


@onnx.op("LpPool")
def lp_pool(
    build: Build, x: Value, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints = (), kernel_shape: Ints, p: int = 2,
    pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """The mean of the powers, padding included, times the size of the kernel is their sum."""
    window = window_of(kernel_shape, auto_pad, strides, dilations, pads)
    if ceil_mode:
        window = _reaching_the_end(build, window, kernel_shape, x)
    powers = _powered(build, x, p)
    mean = averaged(build, powers, window, kernel_shape, exclude_pad=False, rest=Rest.FLOOR)
    return _root(build, build(ops.Multiply(), mean, number(build, math.prod(kernel_shape), mean)), p)


def _reaching_the_end(build: Build, window: Window, kernel: Ints, x: Value) -> Window:
    """The same with as much padding at the end as the last window of a ``ceil`` pooling reaches."""
    shape = x.fact.static_shape
    wanted = ops.MaxPool(window, kernel, Rest.CEIL_TORCH).infer(x.fact)[0].static_shape
    if shape is None or wanted is None or window.auto_pad is not Padding.EXPLICIT:
        raise build.refuse(f"ceil_mode needs explicit pads and a known shape, the input is {x.fact}")
    ends = (
        (n - 1) * window.strides[i] + window.dilations[i] * (kernel[i] - 1) + 1 - shape[2 + i] - window.pads_begin[i]
        for i, n in enumerate(wanted[2:])
    )
    longer = tuple(max(end, old) for end, old in zip(ends, window.pads_end, strict=True))
    return Window(window.strides, window.dilations, window.pads_begin, longer)


def _powered(build: Build, x: Value, p: int) -> Value:
    if p == 2:
        return build(ops.Multiply(), x, x)
    size = build(ops.Abs(), x)
    return size if p == 1 else build(ops.Power(), size, number(build, p, x))


def _root(build: Build, x: Value, p: int) -> Value:
    if p == 2:
        return build(ops.Sqrt(), x)
    return x if p == 1 else build(ops.Power(), x, number(build, 1 / p, x))


@onnx.op("MaxUnpool", since=9)
def max_unpool(
    build: Build, x: Value, indices: Value, output_shape: Value | None = None, *,
    kernel_shape: Ints, pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """Each element goes back to where it was the greatest, among zeros; what ``output_shape`` has more follows them."""
    window = window_of(kernel_shape, "NOTSET", strides, (), pads)
    n = len(kernel_shape)
    steps = build.ints(1, 1, *window.strides)
    offsets = zip(kernel_shape, window.strides, window.pads_begin, window.pads_end, strict=True)
    more = build.ints(0, 0, *(k - s - b - e for k, s, b, e in offsets))
    inferred = build(ops.Add(), build(ops.Multiply(), shape_of(build, x), steps), more)
    flat = build.ints(-1)
    size = build(ops.ReduceProd(keep_dims=True), inferred, build.ints(0))
    zeros = build(ops.Broadcast(), number(build, 0, x), size)
    values, places = (build(ops.Reshape(special_zero=False), v, flat) for v in (x, indices))
    filled = build(ops.ScatterElementsUpdate(), zeros, places, values, build.scalar(0))
    y = build(ops.Reshape(special_zero=False), filled, inferred)
    if output_shape is None:
        return y
    missing = build(ops.Subtract(), converted(build, output_shape, ElementType.i64), inferred)
    return build(ops.Pad(ops.PadMode.CONSTANT), y, build.ints(*[0] * (2 + n)), missing, number(build, 0, x))
