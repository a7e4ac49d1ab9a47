"""ONNX operators that take elements from, or put them to, places that other tensors name."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import extent_of, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import decide_less

_REDUCTIONS = {"add": "sum", "mul": "prod", "min": "min", "max": "max"}


@onnx.op("Gather", since=1)
def gather(build: Build, data: Value, indices: Value, *, axis: int = 0) -> Value:
    return build(ops.Gather(), data, indices, build.scalar(axis))


@onnx.op("GatherElements", since=11)
def gather_elements(build: Build, data: Value, indices: Value, *, axis: int = 0) -> Value:
    """Indices may end before the data do, on the other axes; the operation wants what they reach only.

    Where it is not sure that they do, the extents are taken to be the same: a cut of unknown length would hide them.
    The runtime drops a Slice before this operation even if its other axes are cut, but no strided one.
    """
    own, wanted = data.fact.shape, indices.fact.shape
    if own is not None and wanted is not None and len(own) == len(wanted):
        at, rank = build.axis(axis, len(own)), len(own)
        whole = tuple(int(i == at or not decide_less(w, d)) for i, (d, w) in enumerate(zip(own, wanted, strict=True)))
        if 0 in whole:
            cut = ops.StridedSlice((1,) * rank, whole)
            data = build(cut, data, build.ints(*[0] * rank), shape_of(build, indices), build.ints(*[1] * rank))
    return build(ops.GatherElements(axis), data, indices)


@onnx.op("GatherND", since=11)
def gather_nd_11(build: Build, data: Value, indices: Value) -> Value:
    return build(ops.GatherND(), data, indices)


@onnx.op("GatherND", since=12)
def gather_nd_12(build: Build, data: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    return build(ops.GatherND(batch_dims), data, indices)


@onnx.op("Scatter", since=9)
def scatter(build: Build, data: Value, indices: Value, updates: Value, *, axis: int = 0) -> Value:
    return build(ops.ScatterElementsUpdate(), data, indices, updates, build.scalar(axis))


@onnx.op("ScatterElements", since=11)
def scatter_elements_11(build: Build, data: Value, indices: Value, updates: Value, *, axis: int = 0) -> Value:
    return build(ops.ScatterElementsUpdate(), data, indices, updates, build.scalar(axis))


@onnx.op("ScatterElements", since=16)
def scatter_elements_16(
    build: Build, data: Value, indices: Value, updates: Value, *, axis: int = 0, reduction: str = "none"
) -> Value:
    if reduction == "none":
        return scatter_elements_11(build, data, indices, updates, axis=axis)
    op = ops.ScatterElementsReduce(_reduction(reduction))
    return build(op, data, indices, updates, build.scalar(axis))


@onnx.op("ScatterND", since=11)
def scatter_nd_11(build: Build, data: Value, indices: Value, updates: Value) -> Value:
    return build(ops.ScatterNDUpdate(), data, indices, updates)


@onnx.op("ScatterND", since=16)
def scatter_nd_16(build: Build, data: Value, indices: Value, updates: Value, *, reduction: str = "none") -> Value:
    if reduction == "none":
        return scatter_nd_11(build, data, indices, updates)
    return build(ops.ScatterNDReduce(_reduction(reduction)), data, indices, updates)


def _reduction(name: str) -> str:
    if name not in _REDUCTIONS:
        raise ValueError(f"there is no reduction {name!r}")
    return _REDUCTIONS[name]


@onnx.op("TensorScatter", since=24)
def tensor_scatter(
    build: Build,
    past_cache: Value,
    update: Value,
    write_indices: Value | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Value:
    """The update goes along ``axis`` to a place of its own in each batch."""
    rank = build.rank(past_cache)
    at = build.axis(axis, rank)
    steps = build(ops.Range(ElementType.i64), build.scalar(0), extent_of(build, update, at), build.scalar(1))
    places = build(ops.Reshape(), steps, build.ints(*(-1 if i == at else 1 for i in range(rank))))
    if write_indices is not None:
        first = build(ops.Reshape(), write_indices, build.ints(-1, *(1,) * (rank - 1)))
        places = build(ops.Add(), first, places)
    if mode == "circular":
        places = build(ops.FloorMod(), places, extent_of(build, past_cache, at))
    everywhere = build(ops.Broadcast("bidirectional"), places, shape_of(build, update))
    return build(ops.ScatterElementsUpdate(), past_cache, everywhere, update, build.scalar(at))


@onnx.op("Where", since=9)
def where(build: Build, condition: Value, x: Value, y: Value) -> Value:
    return build(ops.Select(), condition, x, y)


@onnx.op("NonZero", since=9)
def non_zero(build: Build, x: Value) -> Value:
    return build(ops.NonZero(), x)
