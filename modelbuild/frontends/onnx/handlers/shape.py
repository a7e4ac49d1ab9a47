"""ONNX operators that ask for a shape, or give the same elements another one."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Argument, Build, Ints, Items
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, from_front, joined, repeated, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import static


@onnx.op("Identity", since=1)
def identity(build: Build, x: Value) -> Value:
    return x


@onnx.op("Identity", since=14)
def identity_14(build: Build, x: Value | Items) -> Argument:
    """Sequences pass too."""
    return x


@onnx.op("Shape", since=1)
def shape_1(build: Build, data: Value) -> Value:
    return shape_of(build, data)


@onnx.op("Shape", since=15)
def shape_15(build: Build, data: Value, *, start: int = 0, end: int | None = None) -> Value:
    whole = shape_of(build, data)
    if start == 0 and end is None:
        return whole
    stop = np.iinfo(np.int64).max if end is None else end
    return build(ops.Slice(), whole, build.ints(start), build.ints(stop), build.ints(1))


@onnx.op("Size", since=1)
def size(build: Build, data: Value) -> Value:
    return build(ops.ReduceProd(keep_dims=False), shape_of(build, data), build.ints(0))


@onnx.op("Reshape", since=5)
def reshape_5(build: Build, data: Value, shape: Value) -> Value:
    return build(ops.Reshape(special_zero=True), data, shape)


@onnx.op("Reshape", since=14)
def reshape_14(build: Build, data: Value, shape: Value, *, allowzero: int = 0) -> Value:
    return build(ops.Reshape(special_zero=not allowzero), data, shape)


@onnx.op("Flatten", since=1)
def flatten(build: Build, x: Value, *, axis: int = 1) -> Value:
    if axis == 0:
        return build(ops.Reshape(), x, build.ints(1, -1))
    if axis == 1:
        return build(ops.Reshape(special_zero=True), x, build.ints(0, -1))
    rank = build.rank(x)
    at = rank if axis == rank else build.axis(axis, rank)
    extents = x.fact.shape or ()
    head, tail = static(extents[:at]), static(extents[at:])
    if head is not None:
        return build(ops.Reshape(), x, build.ints(int(np.prod(head, dtype=np.int64)), -1))
    if tail is not None:
        return build(ops.Reshape(), x, build.ints(-1, int(np.prod(tail, dtype=np.int64))))
    before = build(ops.Slice(), shape_of(build, x), build.ints(0), build.ints(at), build.ints(1))
    rows = build(ops.ReduceProd(keep_dims=True), before, build.ints(0))
    return build(ops.Reshape(), x, joined(build, rows, -1))


@onnx.op("Squeeze", since=1)
def squeeze_1(build: Build, data: Value, *, axes: Ints | None = None) -> Value:
    return _squeeze(build, data, None if axes is None else build.ints(*axes))


@onnx.op("Squeeze", since=13)
def squeeze_13(build: Build, data: Value, axes: Value | None = None) -> Value:
    return _squeeze(build, data, axes)


def _squeeze(build: Build, data: Value, axes: Value | None) -> Value:
    if axes is None:
        return build(ops.Squeeze(), data)
    # To OpenVINO an empty list means all axes, to ONNX none.
    return data if axes.fact.ints == () else build(ops.Squeeze(), data, axes)


@onnx.op("Unsqueeze", since=1)
def unsqueeze_1(build: Build, data: Value, *, axes: Ints) -> Value:
    return _unsqueeze(build, data, build.ints(*axes))


@onnx.op("Unsqueeze", since=13)
def unsqueeze_13(build: Build, data: Value, axes: Value) -> Value:
    return _unsqueeze(build, data, axes)


def _unsqueeze(build: Build, data: Value, axes: Value) -> Value:
    if axes.fact.ints is None and data.fact.rank is not None and axes.fact.static_shape:
        return _with_new_axes(build, data, axes, data.fact.rank + axes.fact.static_shape[0])
    return data if axes.fact.ints == () else build(ops.Unsqueeze(), data, axes)


def _with_new_axes(build: Build, data: Value, axes: Value, rank: int) -> Value:
    """Unsqueeze along axes that are computed at run time, which leaves the rank known.

    The extents go to those places of a list of ones that no new axis takes.
    """
    ones, first = build.ints(*(1,) * rank), build.scalar(0)
    taken = from_front(build, axes, rank)
    free = build(ops.ScatterElementsUpdate(), ones, taken, repeated(build, 0, taken), first)
    places = as_list(build, build(ops.NonZero(), free))
    return build(ops.Reshape(), data, build(ops.ScatterElementsUpdate(), ones, places, shape_of(build, data), first))


@onnx.op("Expand", since=8)
def expand(build: Build, x: Value, shape: Value) -> Value:
    return build(ops.Broadcast("bidirectional"), x, shape)


@onnx.op("Tile", since=6)
def tile(build: Build, x: Value, repeats: Value) -> Value:
    if repeats.fact.ints is not None or x.fact.rank is None:
        return build(ops.Tile(), x, repeats)
    return _tiled(build, x, converted(build, repeats, ElementType.i64), x.fact.rank)


def _tiled(build: Build, x: Value, repeats: Value, rank: int) -> Value:
    """Tile by numbers that are computed at run time, from which the runtime's Tile makes garbage (2026.4, CPU).

    Each axis gets one before it, which grows to the number of repeats.
    """
    extents, ones = shape_of(build, x), build.ints(*(1,) * rank)
    apart = build(ops.Reshape(), x, _interleaved(build, ones, extents))
    grown = build(ops.Broadcast(), apart, _interleaved(build, repeats, extents))
    return build(ops.Reshape(), grown, build(ops.Multiply(), repeats, extents))


def _interleaved(build: Build, first: Value, second: Value) -> Value:
    columns = (build(ops.Unsqueeze(), numbers, build.scalar(1)) for numbers in (first, second))
    return build(ops.Reshape(), build(ops.Concat(1), *columns), build.ints(-1))


@onnx.op("CenterCropPad", since=18)
def center_crop_pad(build: Build, input_data: Value, shape: Value, *, axes: Ints | None = None) -> Value:
    """What is cut off or put on goes half to each side, the odd one to the end."""
    extents, wanted = shape_of(build, input_data), converted(build, as_list(build, shape), ElementType.i64)
    if axes is not None:
        rank = build.rank(input_data)
        where = build.ints(*(build.axis(a, rank) for a in axes))
        wanted = build(ops.ScatterElementsUpdate(), extents, where, wanted, build.scalar(0))
    missing = build(ops.Subtract(), wanted, extents)
    before = build(ops.Divide(m_pythondiv=False), missing, build.scalar(2))
    after = build(ops.Subtract(), missing, before)
    return build(ops.CroppingPad(), input_data, before, after)
