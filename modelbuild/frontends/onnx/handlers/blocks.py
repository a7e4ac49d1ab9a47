"""ONNX moves of elements between axes."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, extents, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

MOST_AXES = 8
"""Of an image; each of them is an axis of windows too."""


@onnx.op("Transpose", since=1)
def transpose(build: Build, data: Value, *, perm: Ints | None = None) -> Value:
    if perm is None and data.fact.rank is not None:
        perm = tuple(range(data.fact.rank))[::-1]
    return build(ops.Transpose(), data, build.ints(*(perm or ())))


@onnx.op("DepthToSpace", since=1)
def depth_to_space_1(build: Build, x: Value, *, blocksize: int) -> Value:
    return depth_to_space_11(build, x, blocksize=blocksize)


@onnx.op("DepthToSpace", since=11)
def depth_to_space_11(build: Build, x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    return build(ops.DepthToSpace(blocksize, _order(mode)), x)


@onnx.op("SpaceToDepth", since=1)
def space_to_depth_1(build: Build, x: Value, *, blocksize: int) -> Value:
    return space_to_depth_28(build, x, blocksize=blocksize)


@onnx.op("SpaceToDepth", since=28)
def space_to_depth_28(build: Build, x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    return build(ops.SpaceToDepth(blocksize, _order(mode)), x)


def _order(mode: str) -> str:
    """ONNX names the order of depth, column and row: either the block comes before the channel or after."""
    modes = {"DCR": "blocks_first", "CRD": "depth_first"}
    if mode not in modes:
        raise ValueError(f"there is no mode {mode!r}")
    return modes[mode]


@onnx.op("ReverseSequence", since=10)
def reverse_sequence(build: Build, x: Value, sequence_lens: Value, *, batch_axis: int = 1, time_axis: int = 0) -> Value:
    return build(ops.ReverseSequence(batch_axis, time_axis), x, sequence_lens)


@onnx.op("Col2Im", since=18)
def col2im(
    build: Build,
    x: Value,
    image_shape: Value,
    block_shape: Value,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Value:
    shape = image_shape.fact.static_shape
    if shape is None or len(shape) != 1 or not 1 <= shape[0] <= MOST_AXES:
        raise build.refuse(f"its images have {image_shape.fact} axes, between 1 and {MOST_AXES} can be translated")
    axes = shape[0]
    if any(len(numbers) != axes for numbers in (strides, dilations) if numbers):
        raise ValueError(f"strides are {strides}, dilations {dilations}; images of {axes} axes need {axes} of each")
    if pads is not None and len(pads) != 2 * axes:
        raise ValueError(f"pads has {len(pads)} numbers, images of {axes} axes need {2 * axes}")
    ahead, behind = (pads[:axes], pads[axes:]) if pads else ((0,) * axes, (0,) * axes)
    ones = (1,) * axes
    op = ops.Col2Im(strides or ones, dilations or ones, ahead, behind)
    if axes == 2:
        return build(op, x, image_shape, block_shape)
    return _added_up(build, op, x, image_shape, block_shape)


def _added_up(build: Build, op: ops.Col2Im, x: Value, image_shape: Value, block_shape: Value) -> Value:
    """Images of any number of axes: each element is added where it belongs, or behind the image if that is padding."""
    image, block = (converted(build, v, ElementType.i64) for v in (image_shape, block_shape))
    count = len(op.strides)
    size = build(ops.ReduceProd(keep_dims=True), image, build.ints(0))
    index, inside = build.scalar(0), build.scalar(True, ElementType.boolean)
    for axis in range(count):
        extent, window = (_element(build, v, axis) for v in (image, block))
        at = _places(build, op, axis, extent, window)
        between = build.ints(*(i for i in range(2 * count) if i not in {axis, count + axis}))
        at = build(ops.Unsqueeze(), at, between)
        within = build(ops.LogicalAnd(), build(ops.GreaterEqual(), at, build.scalar(0)), build(ops.Less(), at, extent))
        inside = build(ops.LogicalAnd(), inside, within)
        index = build(ops.Add(), build(ops.Multiply(), index, extent), at)
    index = as_list(build, build(ops.Select(), inside, index, size))
    front = extents(build, x, 0)
    columns = build(ops.Concat(0), front, build.ints(-1), shape_of(build, index))
    updates = build(ops.Reshape(special_zero=False), x, columns)
    channels = extents(build, updates, 0, 1)
    more = build(ops.Add(), size, build.ints(1))
    none = build(ops.Broadcast(), number(build, 0, x), build(ops.Concat(0), channels, more))
    indices = build(ops.Broadcast(), index, shape_of(build, updates))
    made = build(ops.ScatterElementsReduce("sum"), none, indices, updates, build.scalar(2))
    made = build(ops.Slice(), made, build.ints(0), size, build.ints(1), build.ints(2))
    return build(ops.Reshape(special_zero=False), made, build(ops.Concat(0), channels, image))


def _places(build: Build, op: ops.Col2Im, axis: int, extent: Value, window: Value) -> Value:
    """Where on an axis of the image the elements of the windows are, ``[element, window]``."""
    step, apart = op.strides[axis], op.dilations[axis]
    padded = build(ops.Add(), extent, build.scalar(op.pads_begin[axis] + op.pads_end[axis]))
    reach = build(ops.Multiply(), build(ops.Subtract(), window, build.scalar(1)), build.scalar(apart))
    room = build(ops.Subtract(), build(ops.Subtract(), padded, reach), build.scalar(1))
    count = build(ops.Add(), build(ops.Divide(), room, build.scalar(step)), build.scalar(1))
    begins = build(ops.Multiply(), _counted(build, count), build.scalar(step))
    begins = build(ops.Subtract(), begins, build.scalar(op.pads_begin[axis]))
    within = build(ops.Multiply(), _counted(build, window), build.scalar(apart))
    return build(ops.Add(), build(ops.Unsqueeze(), within, build.ints(1)), begins)


def _counted(build: Build, length: Value) -> Value:
    return build(ops.Range(ElementType.i64), build.scalar(0), length, build.scalar(1))


def _element(build: Build, numbers: Value, i: int) -> Value:
    return build(ops.Gather(), numbers, build.scalar(i), build.scalar(0))
