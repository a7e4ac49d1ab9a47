"""ONNX reductions, and what else gathers up elements along an axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import axes_from, converted, extents, from_front, number, shape_of
from modelbuild.graph import Op, Value
from modelbuild.tensor.dtype import ElementType, Ints

Step = Callable[[Build, Value], Value]


def _itself(build: Build, x: Value) -> Value:
    return x


def _squared(build: Build, x: Value) -> Value:
    return build(ops.Multiply(), x, x)


def _log(build: Build, x: Value) -> Value:
    return build(ops.Log(), x)


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is done to each element, how they are gathered, and what is done to the result."""

    gather: Callable[[bool], Op]
    before: Step = _itself
    after: Step = _itself

    def over(self, build: Build, x: Value, axes: Value, *, keep: bool) -> Value:
        return self.after(build, build(self.gather(keep), self.before(build, x), axes))


@dataclass(frozen=True, slots=True)
class Extreme(Reduction):
    """The extreme of truth values is that of zeros and ones."""

    def over(self, build: Build, x: Value, axes: Value, *, keep: bool) -> Value:
        if x.fact.dtype is not ElementType.boolean:
            return build(self.gather(keep), x, axes)
        numbers = converted(build, x, ElementType.u8)
        return converted(build, build(self.gather(keep), numbers, axes), ElementType.boolean)


@dataclass(frozen=True, slots=True)
class LogSumExp(Reduction):
    """Less the greatest element first, so that no exponential overflows; an infinite one is cut to what is finite."""

    def over(self, build: Build, x: Value, axes: Value, *, keep: bool) -> Value:
        from ml_dtypes import finfo  # numpy's does not know bf16

        limit = float(finfo(x.fact.dtype.numpy).max)  # type: ignore[no-untyped-call]
        top = build(ops.Clamp(-limit, limit), build(ops.ReduceMax(keep_dims=True), x, axes))
        total = build(ops.ReduceSum(keep), build(ops.Exp(), build(ops.Subtract(), x, top)), axes)
        top = top if keep else build(ops.Squeeze(), top, axes)
        return build(ops.Add(), build(ops.Log(), total), top)


REDUCTIONS: dict[str, tuple[int, Reduction]] = {
    "ReduceSum": (13, Reduction(ops.ReduceSum)),
    "ReduceMean": (18, Reduction(ops.ReduceMean)),
    "ReduceProd": (18, Reduction(ops.ReduceProd)),
    "ReduceMax": (18, Extreme(ops.ReduceMax)),
    "ReduceMin": (18, Extreme(ops.ReduceMin)),
    "ReduceL1": (18, Reduction(ops.ReduceL1)),
    "ReduceL2": (18, Reduction(ops.ReduceL2)),
    "ReduceSumSquare": (18, Reduction(ops.ReduceSum, before=_squared)),
    "ReduceLogSum": (18, Reduction(ops.ReduceSum, after=_log)),
    "ReduceLogSumExp": (18, LogSumExp(ops.ReduceSum)),
}
"""With the operator set from which on the axes are an input."""


def _old_form(reduction: Reduction) -> Callable[..., Value]:
    def handler(build: Build, data: Value, *, axes: Ints = (), keepdims: int = 1) -> Value:
        along = build.ints(*axes) if axes else axes_from(build, data, 0)
        return reduction.over(build, data, along, keep=bool(keepdims))

    return handler


def _new_form(reduction: Reduction) -> Callable[..., Value]:
    def handler(
        build: Build, data: Value, axes: Value | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0,
    ) -> Value:  # fmt: skip
        empty = axes is None or axes.fact.shape == (0,)
        if empty and noop_with_empty_axes:
            return reduction.over(build, data, build.ints(), keep=bool(keepdims))
        along = axes_from(build, data, 0) if axes is None or empty else axes
        if not keepdims and along.fact.ints is None and data.fact.rank is not None and along.fact.is_static:
            return _without(build, reduction.over(build, data, along, keep=True), along)
        return reduction.over(build, data, along, keep=bool(keepdims))

    return handler


def _without(build: Build, x: Value, axes: Value) -> Value:
    """``x`` less these axes, which hold one element each. How many they are is known, so the rank stays known."""
    rank = build.rank(x)
    count = (axes.fact.static_shape or (1,))[0]
    stays = build(ops.Broadcast(), build.scalar(1), build.ints(rank))
    gone = build(ops.Broadcast(), build.scalar(0), build.ints(count))
    marked = build(ops.ScatterElementsUpdate(), stays, from_front(build, axes, rank), gone, build.scalar(0))
    best = build.node(ops.TopK(0, "max", "index", ElementType.i64), marked, build.scalar(rank - count))
    shape = build(ops.Gather(), shape_of(build, x), best.outputs[1], build.scalar(0))
    return build(ops.Reshape(special_zero=False), x, shape)


for _name, (_since, _reduction) in REDUCTIONS.items():
    onnx.op(_name)(_old_form(_reduction))
    onnx.op(_name, since=_since)(_new_form(_reduction))


# --- the place of an extreme -----------------------------------------------------------------------------------------


def _arg(mode: str) -> Callable[..., Value]:
    def handler(build: Build, data: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Value:
        rank = build.rank(data)
        axis = build.axis(axis, rank)
        if select_last_index:
            data = _backwards(build, data, axis)
        found = build.node(ops.TopK(axis, mode, "value", ElementType.i64), data, build.scalar(1)).outputs[1]
        if select_last_index:
            last = build(ops.Subtract(), extents(build, data, axis), build.ints(1))
            found = build(ops.Subtract(), last, found)
        return found if keepdims else build(ops.Squeeze(), found, build.ints(axis))

    return handler


def _backwards(build: Build, x: Value, axis: int) -> Value:
    last, end, step = build.ints(-1), build.ints(-(2**31)), build.ints(-1)
    return build(ops.Slice(), x, last, end, step, build.ints(axis))


onnx.op("ArgMax")(_arg("max"))
onnx.op("ArgMin")(_arg("min"))


# --- running products ------------------------------------------------------------------------------------------------


@onnx.op("CumProd", since=26)
def cum_prod(build: Build, x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
    """Along an axis that is not known yet: along each, and then the one asked for is taken."""
    rank = build.rank(x)
    known = axis.fact.ints
    if known is not None or rank == 1:
        return _products(build, x, build.axis(known[0], rank) if known else 0, exclusive, reverse)
    y = _products(build, x, 0, exclusive, reverse)
    front = build(ops.FloorMod(), axis, number(build, rank, axis))
    for other in range(1, rank):
        this = build(ops.Equal(), front, number(build, other, axis))
        y = build(ops.Select(), this, _products(build, x, other, exclusive, reverse), y)
    return y


def _products(build: Build, x: Value, axis: int, exclusive: int, reverse: int) -> Value:
    """In a logarithmic number of steps: after the one with distance d each element holds the product of 2d.

    A step multiplies with the tensor moved by d, ones coming in.
    """
    extent = (x.fact.shape or ())[axis]
    if not isinstance(extent, int):
        raise build.refuse(f"the extent of axis {axis} of {x} is not known: {x.fact}")
    y = _moved(build, x, axis, 1, reverse=bool(reverse)) if exclusive else x
    distance = 1
    while distance < extent:
        y = build(ops.Multiply(), y, _moved(build, y, axis, distance, reverse=bool(reverse)))
        distance *= 2
    return y


def _moved(build: Build, x: Value, axis: int, distance: int, *, reverse: bool) -> Value:
    rank = build.rank(x)
    ones, none = [0] * rank, [0] * rank
    ones[axis] = distance
    begin, end = (none, ones) if reverse else (ones, none)
    padded = build(ops.Pad(ops.PadMode.CONSTANT), x, build.ints(*begin), build.ints(*end), number(build, 1, x))
    first, last = (distance, 2**31 - 1) if reverse else (0, -distance)
    return build(ops.Slice(), padded, build.ints(first), build.ints(last), build.ints(1), build.ints(axis))
