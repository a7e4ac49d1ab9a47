"""Shapes, axes and numbers that belong to a value: constants where its shape is known, small subgraphs where not."""

from __future__ import annotations

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
