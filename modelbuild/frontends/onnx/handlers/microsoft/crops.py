"""Boxes cut out of images, and brought to one size: what ``com.microsoft`` has of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar, converted, extent_of, joined, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_I64 = ElementType.i64


@onnx.op("CropAndResize", domain=MICROSOFT)
def crop_and_resize(
    build: Build, x: Value, rois: Value, batch_indices: Value, crop_size: Value, *,
    extrapolation_value: float = 0.0, mode: str = "bilinear",
) -> Value:  # fmt: skip
    """Boxes read at as many points as a crop has, the first and the last of them on the edges of the box.

    Edges are parts of the image. Beside the image there is one value only.
    """
    if mode not in {"bilinear", "nearest"}:
        raise ValueError(f"mode is {mode!r}, neither bilinear nor nearest")
    edges = build.node(ops.Split(4), converted(build, rois, ElementType.f32), build.scalar(1)).outputs
    counts = build.node(ops.Split(2), converted(build, crop_size, ElementType.i64), build.scalar(0)).outputs
    rows, columns = (
        Points.between(build, edges[axis], edges[2 + axis], count, extent_of(build, x, 2 + axis), across=2 - axis)
        for axis, count in enumerate(counts)
    )
    image = converted(build, batch_indices, ElementType.i64)
    first = build(ops.Multiply(), build(ops.Unsqueeze(), image, build.ints(1, 2)), rows.extent)
    last = build(ops.Transpose(), x, build.ints(0, 2, 3, 1))
    pixels = build(ops.Reshape(special_zero=False), last, joined(build, -1, extent_of(build, x, 1)))

    def at(row: Value, column: Value) -> Value:
        """``[box, row, column, channel]``"""
        place = build(ops.Multiply(), build(ops.Add(), first, row), columns.extent)
        return build(ops.Gather(), pixels, build(ops.Add(), place, column), build.scalar(0))

    if mode == "nearest":
        y = at(rows.nearest(build), columns.nearest(build))
    else:
        y = rows.mixed(build, lambda row: columns.mixed(build, lambda column: at(row, column)))
    inside = build(ops.Unsqueeze(), build(ops.LogicalAnd(), rows.inside, columns.inside), build.ints(3))
    y = build(ops.Select(), inside, y, number(build, extrapolation_value, y))
    return build(ops.Transpose(), y, build.ints(0, 3, 1, 2))


@dataclass(frozen=True, slots=True)
class Points:
    """Where boxes are read along an axis of an image, and whether that is within it.

    Places are ``[box, point, 1]`` for rows and ``[box, 1, point]`` for columns, within the image in any case.
    """

    place: Value
    inside: Value
    extent: Value

    @classmethod
    def between(cls, build: Build, begin: Value, end: Value, count: Value, extent: Value, *, across: int) -> Points:
        """From edge to edge, ``[box, 1]``, with a new axis ``across``; the only point is in the middle."""
        count, one = as_scalar(build, count), build.scalar(1)
        steps = converted(build, build(ops.Range(_I64), build.scalar(0), count, one), ElementType.f32)
        gaps = converted(build, build(ops.Maximum(), build(ops.Subtract(), count, one), one), ElementType.f32)
        alone = build(ops.Equal(), count, one)
        part = build(ops.Select(), alone, number(build, 0.5, steps), build(ops.Divide(), steps, gaps))
        on_the_way = build(ops.Add(), begin, build(ops.Multiply(), build(ops.Subtract(), end, begin), part))
        arrived = build(ops.Equal(), part, number(build, 1, part))
        last = converted(build, build(ops.Subtract(), extent, one), ElementType.f32)
        place = build(ops.Multiply(), build(ops.Select(), arrived, end, on_the_way), last)
        place = build(ops.Unsqueeze(), place, build.ints(across))
        within = build(ops.Minimum(), build(ops.Relu(), place), last)
        return cls(within, build(ops.Equal(), within, place), extent)

    def nearest(self, build: Build) -> Value:
        return converted(build, build(ops.Round(ops.Rounding.HALF_AWAY_FROM_ZERO), self.place), _I64)

    def mixed(self, build: Build, read: Callable[[Value], Value]) -> Value:
        """What is at the places between two elements, by how near they are to each."""
        before = build(ops.Floor(), self.place)
        low, high = (read(converted(build, p, _I64)) for p in (before, build(ops.Ceiling(), self.place)))
        share = build(ops.Unsqueeze(), build(ops.Subtract(), self.place, before), build.ints(3))
        rise = build(ops.Multiply(), build(ops.Subtract(), high, low), converted(build, share, low.fact.dtype))
        return build(ops.Add(), low, rise)
