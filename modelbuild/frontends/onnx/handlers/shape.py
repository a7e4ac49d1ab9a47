"""ONNX operators that ask for a shape, or give the same elements another one."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.lists import as_list, as_type, joined, shape_of
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import static


@onnx.op("Identity", since=1)
def identity(build: Build, x: Value) -> Value:
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
    at = axis % rank if axis < 0 else axis
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
    return data if axes.fact.ints == () else build(ops.Unsqueeze(), data, axes)


@onnx.op("Expand", since=8)
def expand(build: Build, x: Value, shape: Value) -> Value:
    return build(ops.Broadcast("bidirectional"), x, shape)


@onnx.op("Tile", since=6)
def tile(build: Build, x: Value, repeats: Value) -> Value:
    return build(ops.Tile(), x, repeats)


@onnx.op("Dropout", since=6)
def dropout_6(build: Build, data: Value, *, is_test: int = 0, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _nothing_dropped(build, data, data.fact.dtype)


@onnx.op("Dropout", since=7)
def dropout_7(build: Build, data: Value, *, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _nothing_dropped(build, data, data.fact.dtype)


@onnx.op("Dropout", since=10)
def dropout_10(build: Build, data: Value, *, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _nothing_dropped(build, data, ElementType.boolean)


@onnx.op("Dropout", since=12)
def dropout_12(
    build: Build,
    data: Value,
    ratio: Value | None = None,
    training_mode: Value | None = None,
    *,
    seed: int | None = None,
) -> tuple[Value, Value | None]:
    if training_mode is not None and training_mode.fact.ints != (0,) and not _is_zero(ratio):
        raise build.refuse("it drops at random, being in training mode; export the model for inference")
    return data, _nothing_dropped(build, data, ElementType.boolean)


def _is_zero(ratio: Value | None) -> bool:
    return ratio is not None and ratio.fact.value is not None and not ratio.fact.value.numpy().any()


def _nothing_dropped(build: Build, data: Value, dtype: ElementType) -> Value | None:
    if not build.wants(1):
        return None
    return build(ops.Broadcast(), build.scalar(1, dtype), shape_of(build, data))


@onnx.op("CenterCropPad", since=18)
def center_crop_pad(build: Build, input_data: Value, shape: Value, *, axes: Ints | None = None) -> Value:
    """What is cut off or put on goes half to each side, the odd one to the end."""
    extents, wanted = shape_of(build, input_data), as_type(build, as_list(build, shape), ElementType.i64)
    if axes is not None:
        rank = build.rank(input_data)
        where = build.ints(*(build.axis(a, rank) for a in axes))
        wanted = build(ops.ScatterElementsUpdate(), extents, where, wanted, build.scalar(0))
    missing = build(ops.Subtract(), wanted, extents)
    before = build(ops.Divide(m_pythondiv=False), missing, build.scalar(2))
    after = build(ops.Subtract(), missing, before)
    return build(ops.CroppingPad(), input_data, before, after)
