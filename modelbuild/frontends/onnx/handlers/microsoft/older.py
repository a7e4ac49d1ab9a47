"""Operators that onnxruntime had before ONNX, or has beside it, with the same meaning."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.convolution import conv_transpose
from modelbuild.frontends.onnx.handlers.indexing import gather_nd_11
from modelbuild.frontends.onnx.handlers.matmul import fused_matmul
from modelbuild.frontends.onnx.handlers.sampling import grid_sample_16
from modelbuild.frontends.onnx.handlers.slicing import pad_11, range_11, trilu
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, extent_of
from modelbuild.graph import Op, Value
from modelbuild.tensor.dtype import ElementType

onnx.op("GatherND", domain=MICROSOFT)(gather_nd_11)
onnx.op("Trilu", domain=MICROSOFT)(trilu)
onnx.op("GridSample", domain=MICROSOFT)(grid_sample_16)


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


@onnx.op("TorchEmbedding", domain=MICROSOFT)
def torch_embedding(
    build: Build, weight: Value, indices: Value, padding_idx: Value | None = None,
    scale_grad_by_freq: Value | None = None,
) -> Value:  # fmt: skip
    """What is padding, and how gradients are scaled, matters while a model is trained."""
    return build(ops.Gather(), weight, indices, build.scalar(0))


@onnx.op("TransposeMatMul", domain=MICROSOFT)
def transpose_matmul(
    build: Build, a: Value, b: Value, *,
    alpha: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    return fused_matmul(build, a, b, alpha=alpha, transA=transA, transB=transB)


@onnx.op("UnfoldTensor", domain=MICROSOFT)
def unfold_tensor(build: Build, x: Value, *, dim: int = -1, size: int, step: int = 1) -> Value:
    """All windows along an axis, the elements of each along a new last axis."""
    if size < 1 or step < 1:
        raise ValueError(f"windows of {size} elements, {step} apart")
    rank = build.rank(x)
    axis = build.axis(dim, rank)
    end = build(ops.Subtract(), extent_of(build, x, axis), build.scalar(size - 1))
    starts = build(ops.Range(ElementType.i64), build.scalar(0), end, build.scalar(step))
    within = build(ops.Range(ElementType.i64), build.scalar(0), build.scalar(size), build.scalar(1))
    places = build(ops.Add(), build(ops.Unsqueeze(), starts, build.ints(1)), within)
    windows = build(ops.Gather(), x, places, build.scalar(axis))
    return build(ops.Transpose(), windows, build.ints(*(i for i in range(rank + 1) if i != axis + 1), axis + 1))


@onnx.op("Unique", domain=MICROSOFT)
def unique(build: Build, x: Value) -> tuple[Value, ...]:
    """In the order in which they come, with where each element is among them and how many of each there are."""
    values, _, places, counts = build.node(ops.Unique(sorted=False), x).outputs
    return values, places, counts


@onnx.op("IsAllFinite", domain=MICROSOFT)
def is_all_finite(build: Build, first: Value, *others: Value, isinf_only: int = 0, isnan_only: int = 0) -> Value:
    if isinf_only and isnan_only:
        raise ValueError("isinf_only and isnan_only exclude each other")
    op: Op = ops.IsInf() if isinf_only else ops.IsNaN() if isnan_only else ops.IsFinite()
    parts = []
    for x in (first, *others):
        each = build(op, as_list(build, x))
        fine = build(ops.LogicalNot(), each) if isinf_only or isnan_only else each
        parts.append(build(ops.ReduceLogicalAnd(keep_dims=True), fine, build.ints(0)))
    return build(ops.ReduceLogicalAnd(keep_dims=False), build(ops.Concat(0), *parts), build.ints(0))


@onnx.op("MulInteger", domain=MICROSOFT)
def mul_integer(
    build: Build, a: Value, a_zero_point: Value | None, b: Value, b_zero_point: Value | None = None
) -> Value:
    return build(ops.Multiply(), _centred(build, a, a_zero_point), _centred(build, b, b_zero_point))


def _centred(build: Build, x: Value, zero_point: Value | None) -> Value:
    whole = converted(build, x, ElementType.i32)
    return whole if zero_point is None else build(ops.Subtract(), whole, converted(build, zero_point, ElementType.i32))


@onnx.op("ReduceSumInteger", domain=MICROSOFT)
def reduce_sum_integer(build: Build, data: Value, *, axes: Ints, keepdims: int) -> Value:
    whole = converted(build, data, ElementType.u32 if data.fact.dtype is ElementType.u8 else ElementType.i32)
    return build(ops.ReduceSum(keep_dims=bool(keepdims)), whole, build.ints(*axes))


@onnx.op("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def conv_transpose_with_dynamic_pads(
    build: Build, x: Value, w: Value, pads: Value | None = None, b: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1, kernel_shape: Ints = (),
    output_padding: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    return conv_transpose(
        build, x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, output_padding=output_padding,
        pads=() if pads is None else build.known_ints(pads, "pads"), strides=strides,
    )  # fmt: skip
