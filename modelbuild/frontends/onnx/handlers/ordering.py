"""ONNX operators that compare elements of one tensor with each other, or run along an axis."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar, converted
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("TopK", since=1)
def top_k_1(build: Build, x: Value, *, k: int, axis: int = -1) -> tuple[Value, ...]:
    return top_k_11(build, x, build.ints(k), axis=axis)


@onnx.op("TopK", since=10)
def top_k_10(build: Build, x: Value, k: Value, *, axis: int = -1) -> tuple[Value, ...]:
    return top_k_11(build, x, k, axis=axis)


@onnx.op("TopK", since=11)
def top_k_11(
    build: Build,
    x: Value,
    k: Value,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: A002 - ONNX calls it so
) -> tuple[Value, ...]:
    """Of equal elements the first one comes first, so the order must be a stable one."""
    mode = "max" if largest else "min"
    if sorted:
        op: ops.TopK = ops.StableTopK(axis, mode, "value", ElementType.i64)
    else:
        op = ops.TopK(axis, mode, "none", ElementType.i64)
    return build.node(op, x, as_scalar(build, k)).outputs


@onnx.op("Unique", since=11)
def unique(
    build: Build,
    x: Value,
    *,
    axis: int | None = None,
    sorted: int = 1,  # noqa: A002 - ONNX calls it so
) -> tuple[Value, ...]:
    where = () if axis is None else (build.scalar(axis),)
    return build.node(ops.Unique(bool(sorted)), x, *where).outputs


@onnx.op("CumSum", since=11)
def cum_sum(build: Build, x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
    return build(
        ops.CumSum(bool(exclusive), bool(reverse)), x, as_scalar(build, converted(build, axis, ElementType.i64))
    )
