"""ONNX operators that take parts along axes, or put tensors together."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import (
    as_list,
    as_scalar,
    converted,
    extent_of,
    from_front,
    joined,
    number,
    repeated,
)
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("Concat", since=4)
def concat(build: Build, first: Value, *rest: Value, axis: int) -> Value:
    return build(ops.Concat(axis), first, *rest) if rest else first


@onnx.op("Slice", since=1)
def slice_1(build: Build, data: Value, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Value:
    where = range(len(starts)) if axes is None else axes
    steps = (1,) * len(starts)
    return build(ops.Slice(), data, build.ints(*starts), build.ints(*ends), build.ints(*steps), build.ints(*where))


@onnx.op("Slice", since=10)
def slice_10(
    build: Build, data: Value, starts: Value, ends: Value, axes: Value | None = None, steps: Value | None = None
) -> Value:
    step = repeated(build, 1, starts) if steps is None else steps
    return build(ops.Slice(), data, starts, ends, step, *(() if axes is None else (axes,)))


@onnx.op("Split", since=2)
def split_2(build: Build, x: Value, *, axis: int = 0, split: Ints | None = None) -> tuple[Value, ...]:
    if split is None:
        return _equal_parts(build, x, axis, len(build.source.outputs))
    return _parts(build, x, axis, build.ints(*split))


@onnx.op("Split", since=13)
def split_13(build: Build, x: Value, split: Value | None = None, *, axis: int = 0) -> tuple[Value, ...]:
    if split is None:
        return _equal_parts(build, x, axis, len(build.source.outputs))
    return _parts(build, x, axis, split)


@onnx.op("Split", since=18)
def split_18(
    build: Build, x: Value, split: Value | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Value, ...]:
    if split is not None:
        return _parts(build, x, axis, split)
    count = len(build.source.outputs)
    if num_outputs not in {None, count}:
        raise ValueError(f"num_outputs is {num_outputs}, it has {count}")
    extents = x.fact.shape
    extent = None if extents is None else extents[build.axis(axis, len(extents))]
    if count == 1 or (isinstance(extent, int) and extent % count == 0):
        return _equal_parts(build, x, axis, count)
    # Every part is as long as the first, but the last takes what is left.
    whole = extent_of(build, x, axis)
    rounded = build(ops.Add(), whole, build.scalar(count - 1))
    part = build(ops.Divide(m_pythondiv=False), rounded, build.scalar(count))
    return _parts(build, x, axis, joined(build, *(part,) * (count - 1), -1))


def _equal_parts(build: Build, x: Value, axis: int, count: int) -> tuple[Value, ...]:
    return build.node(ops.Split(count), x, build.scalar(axis)).outputs


def _parts(build: Build, x: Value, axis: int, lengths: Value) -> tuple[Value, ...]:
    known = lengths.fact.ints
    if known and -1 not in known and len(set(known)) == 1:
        return _equal_parts(build, x, axis, len(known))
    return build.node(ops.VariadicSplit(), x, build.scalar(axis), lengths).outputs


@onnx.op("Pad", since=2)
def pad_2(build: Build, data: Value, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> Value:
    return _pad(build, data, build.ints(*pads), build.scalar(value, data.fact.dtype), mode)


@onnx.op("Pad", since=11)
def pad_11(
    build: Build, data: Value, pads: Value, constant_value: Value | None = None, *, mode: str = "constant"
) -> Value:
    return _pad(build, data, pads, constant_value, mode)


@onnx.op("Pad", since=18)
def pad_18(
    build: Build,
    data: Value,
    pads: Value,
    constant_value: Value | None = None,
    axes: Value | None = None,
    *,
    mode: str = "constant",
) -> Value:
    return _pad(build, data, _on_all_axes(build, data, pads, axes), constant_value, mode)


def _on_all_axes(build: Build, data: Value, pads: Value, axes: Value | None) -> Value:
    """Pads of some axes as pads of all."""
    if axes is None:
        return pads
    rank = build.rank(data)
    before = from_front(build, axes, rank)
    places = build(ops.Concat(0), before, build(ops.Add(), before, build.scalar(rank)))
    numbers = converted(build, pads, ElementType.i64)
    return build(ops.ScatterElementsUpdate(), build.ints(*(0,) * (2 * rank)), places, numbers, build.scalar(0))


def _pad(build: Build, data: Value, pads: Value, value: Value | None, mode: str) -> Value:
    before, after = _equal_parts(build, as_list(build, converted(build, pads, ElementType.i64)), 0, 2)
    if mode == "wrap":
        return _wrapped(build, data, before, after)
    modes = {"constant": ops.PadMode.CONSTANT, "reflect": ops.PadMode.REFLECT, "edge": ops.PadMode.EDGE}
    if mode not in modes:
        raise ValueError(f"there is no pad mode {mode!r}")
    numbers = pads.fact.ints
    kind = ops.Pad if numbers is not None and min(numbers, default=0) >= 0 else ops.CroppingPad
    if mode != "constant":
        return build(kind(modes[mode]), data, before, after)
    filler = number(build, 0, data) if value is None else as_scalar(build, value)
    return build(kind(), data, before, after, filler)


def _wrapped(build: Build, data: Value, before: Value, after: Value) -> Value:
    """Each padded axis taken at ``-before .. extent + after``, counted round and round."""
    first, last = before.fact.ints, after.fact.ints
    for axis in range(build.rank(data)):
        if first is not None and last is not None and first[axis] == last[axis] == 0:
            continue
        pick = build.scalar(axis), build.scalar(0)
        extent = extent_of(build, data, axis)
        start = build(ops.Negative(), build(ops.Gather(), before, *pick))
        stop = build(ops.Add(), extent, build(ops.Gather(), after, *pick))
        places = build(ops.Range(ElementType.i64), start, stop, build.scalar(1))
        data = build(ops.Gather(), data, build(ops.FloorMod(), places, extent), build.scalar(axis))
    return data


@onnx.op("Trilu", since=14)
def trilu(build: Build, x: Value, k: Value | None = None, *, upper: int = 1) -> Value:
    """Keep what is on one side of a diagonal: the column less the row says on which."""
    rows, columns = (
        build(ops.Range(ElementType.i64), build.scalar(0), extent_of(build, x, axis), build.scalar(1))
        for axis in (-2, -1)
    )
    offset = build(ops.Subtract(), columns, build(ops.Unsqueeze(), rows, build.scalar(1)))
    diagonal = build.scalar(0) if k is None else as_scalar(build, k)
    kept = build(ops.GreaterEqual() if upper else ops.LessEqual(), offset, diagonal)
    return build(ops.Select(), kept, x, number(build, 0, x))


@onnx.op("Compress", since=9)
def compress(build: Build, x: Value, condition: Value, *, axis: int | None = None) -> Value:
    places = as_list(build, build(ops.NonZero(), condition))
    source = as_list(build, x) if axis is None else x
    return build(ops.Gather(), source, places, build.scalar(axis or 0))


@onnx.op("Range", since=11)
def range_11(build: Build, start: Value, limit: Value, delta: Value) -> Value:
    return _range(build, start, limit, delta)


@onnx.op("Range", since=27)
def range_27(build: Build, start: Value, limit: Value, delta: Value, *, stash_type: int = 1) -> Value:
    dtype = start.fact.dtype
    if dtype not in {ElementType.f16, ElementType.bf16} or stash_type != 1:
        return _range(build, start, limit, delta)
    wide = (converted(build, v, ElementType.f32) for v in (start, limit, delta))
    return converted(build, _range(build, *wide), dtype)


def _range(build: Build, *numbers: Value) -> Value:
    return build(ops.Range(numbers[0].fact.dtype), *(as_scalar(build, v) for v in numbers))
