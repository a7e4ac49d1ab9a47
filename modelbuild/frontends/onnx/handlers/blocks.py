"""ONNX moves of elements between axes."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Value


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
    if image_shape.fact.shape != (2,):
        raise build.refuse(f"images of shape {image_shape} are not of two axes")
    ahead, behind = (pads[:2], pads[2:]) if pads else ((0, 0), (0, 0))
    return build(ops.Col2Im(strides or (1, 1), dilations or (1, 1), ahead, behind), x, image_shape, block_shape)
