"""Shapes, axes and numbers that belong to a value: constants where its shape is known, small subgraphs where not."""

from __future__ import annotations

from collections.abc import Callable

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


def number(build: Build, value: float, like: Value) -> Value:
    """A scalar of the element type of ``like``."""
    return build.scalar(value, like.fact.dtype)


def shape_of(build: Build, x: Value) -> Value:
    return build(ops.ShapeOf(ElementType.i64), x)


def axes_from(build: Build, x: Value, first: int) -> Value:
    """The axes of ``x`` from ``first`` to the last, as a list."""
    if x.fact.rank is not None:
        return build.ints(*range(first, x.fact.rank))
    rank = build(ops.Squeeze(), shape_of(build, shape_of(build, x)), build.ints(0))
    return build(ops.Range(ElementType.i64), build.scalar(first), rank, build.scalar(1))


def extents(build: Build, x: Value, *axes: int) -> Value:
    """The extents of some axes, counted from the front, as a list."""
    return build(ops.Gather(), shape_of(build, x), build.ints(*axes), build.scalar(0))


def converted(build: Build, x: Value, dtype: ElementType) -> Value:
    """``x`` as another element type; itself if that is its own."""
    return x if x.fact.dtype is dtype else build(ops.Convert(dtype), x)


def extent_of(build: Build, x: Value, axis: int) -> Value:
    """The extent of an axis, as a scalar of i64."""
    return build(ops.Gather(), shape_of(build, x), build.scalar(axis), build.scalar(0))


def as_scalar(build: Build, x: Value) -> Value:
    """The only element, without axes."""
    return x if x.fact.shape == () else build(ops.Reshape(), x, build.ints())


def as_list(build: Build, x: Value) -> Value:
    """The elements, in one axis."""
    return x if x.fact.rank == 1 else build(ops.Reshape(), x, build.ints(-1))


def joined(build: Build, *parts: Value | int) -> Value:
    """A list of i64 of scalars and numbers."""
    pieces = [build.ints(p) if isinstance(p, int) else as_list(build, p) for p in parts]
    return pieces[0] if len(pieces) == 1 else build(ops.Concat(0), *pieces)


def repeated(build: Build, number: int, like: Value) -> Value:
    """A list of i64 as long as ``like``, which may become known only at run time."""
    return build(ops.Broadcast(), build.scalar(number), shape_of(build, like))


def from_front(build: Build, axes: Value, rank: int) -> Value:
    """A list of axes, counted from the front."""
    return build(ops.FloorMod(), converted(build, as_list(build, axes), ElementType.i64), build.scalar(rank))


def channels_first(build: Build, x: Value, make: Callable[[Value], Value]) -> Value:
    """``make`` of [batch, channels, …] for [batch, …, channels]."""
    rank = build.rank(x)
    first = build(ops.Transpose(), x, build.ints(0, rank - 1, *range(1, rank - 1)))
    return build(ops.Transpose(), make(first), build.ints(0, *range(2, rank), 1))
