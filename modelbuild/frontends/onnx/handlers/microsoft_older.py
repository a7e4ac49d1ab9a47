"""Operators that onnxruntime had before ONNX, or has beside it, with the same meaning."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.indexing import gather_nd_11
from modelbuild.frontends.onnx.handlers.matmul import fused_matmul
from modelbuild.frontends.onnx.handlers.slicing import pad_11, range_11, trilu
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Value

onnx.op("GatherND", domain=MICROSOFT)(gather_nd_11)
onnx.op("Trilu", domain=MICROSOFT)(trilu)


@onnx.op("Pad", domain=MICROSOFT)
def pad(build: Build, data: Value, pads: Value, value: Value | None = None, *, mode: str = "constant") -> Value:
    """The pads may be a row, and the value a list of one."""
    flat = build(ops.Reshape(), pads, build.ints(-1))
    return pad_11(build, data, flat, None if value is None else _scalar(build, value), mode=mode)


@onnx.op("Range", domain=MICROSOFT)
def range_(build: Build, start: Value, limit: Value, delta: Value | None = None) -> Value:
    step = build.scalar(1, start.fact.dtype) if delta is None else _scalar(build, delta)
    return range_11(build, _scalar(build, start), _scalar(build, limit), step)


def _scalar(build: Build, x: Value) -> Value:
    return x if x.fact.rank == 0 else build(ops.Reshape(), x, build.ints())


@onnx.op("ExpandDims", domain=MICROSOFT)
def expand_dims(build: Build, x: Value, axis: Value) -> Value:
    return build(ops.Unsqueeze(), x, build(ops.Reshape(), axis, build.ints(-1)))


@onnx.op("TransposeMatMul", domain=MICROSOFT)
def transpose_matmul(
    build: Build, a: Value, b: Value, *,
    alpha: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    return fused_matmul(build, a, b, alpha=alpha, transA=transA, transB=transB)
