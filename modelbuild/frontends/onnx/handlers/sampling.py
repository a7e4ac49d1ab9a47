"""ONNX's GridSample: images at given points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.resize import member
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, extent_of, extents
from modelbuild.graph import Value
from modelbuild.ops import GridSampling, Outside
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32

SAMPLING = {
    "bilinear": GridSampling.BILINEAR, "linear": GridSampling.BILINEAR, "nearest": GridSampling.NEAREST,
    "bicubic": GridSampling.BICUBIC, "cubic": GridSampling.BICUBIC,
}  # fmt: skip


@onnx.op("GridSample", since=16)
def grid_sample_16(
    build: Build, x: Value, grid: Value, *,
    align_corners: int = 0, mode: str = "bilinear", padding_mode: str = "zeros",
) -> Value:  # fmt: skip
    return grid_sample(build, x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode)


@onnx.op("GridSample", since=20)
def grid_sample(
    build: Build, x: Value, grid: Value, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Value:
    if mode not in SAMPLING:
        raise ValueError(f"mode is {mode!r}, none of {', '.join(SAMPLING)}")
    how, outside = SAMPLING[mode], member(Outside, padding_mode)
    if x.fact.rank in {None, 4}:
        return build(ops.GridSample(bool(align_corners), how, outside), x, grid)
    if how is GridSampling.BICUBIC:
        raise build.refuse(f"its input is {x.fact}; only images of four axes can be sampled with cubic kernels")
    return Volume(build, x, grid).sampled(how, outside, align_corners=bool(align_corners))


# --- images of any number of axes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Along:
    """One axis of an image: how long it is, a scalar, and what is read beyond its ends."""

    build: Build
    elements: Value
    outside: Outside
    align_corners: bool

    def _number(self, value: float) -> Value:
        return self.build.scalar(value, _F32)

    @property
    def extent(self) -> Value:
        return converted(self.build, self.elements, _F32)

    @property
    def last(self) -> Value:
        return self.build(ops.Subtract(), self.extent, self._number(1))

    def place(self, at: Value) -> Value:
        """The place, in elements, of a coordinate in -1..1."""
        build = self.build
        risen = build(ops.Multiply(), build(ops.Add(), at, self._number(1)), self._number(0.5))
        if self.align_corners:
            return build(ops.Multiply(), risen, self.last)
        return build(ops.Subtract(), build(ops.Multiply(), risen, self.extent), self._number(0.5))

    def inside(self, place: Value) -> Value:
        """The place that is read for one beyond the ends; where zeros are read, the place itself."""
        match self.outside:
            case Outside.BORDER:
                return self.bounded(place)
            case Outside.REFLECTION:
                return self.bounded(self._reflected(place))
        return place

    def bounded(self, place: Value) -> Value:
        return self.build(ops.Minimum(), self.build(ops.Relu(), place), self.last)

    def _reflected(self, place: Value) -> Value:
        """Back and forth between the ends: those of the elements, or their centres if corners are aligned."""
        build = self.build
        low, span = (self._number(0), self.last) if self.align_corners else (self._number(-0.5), self.extent)
        there_and_back = build(ops.Maximum(), build(ops.Add(), span, span), self._number(1))
        folded = build(ops.FloorMod(), build(ops.Subtract(), place, low), there_and_back)
        back = build(ops.Subtract(), there_and_back, folded)
        return build(ops.Add(), build(ops.Minimum(), folded, back), low)

    def contains(self, place: Value) -> Value:
        """1 where there is an element, else 0."""
        build = self.build
        begun = build(ops.GreaterEqual(), place, self._number(0))
        both = build(ops.LogicalAnd(), begun, build(ops.LessEqual(), place, self.last))
        return converted(build, both, _F32)


@dataclass(frozen=True, slots=True)
class Volume:
    """An image ``[batch, channel, …]`` and the points ``[batch, …, axis]`` at which it is read, the last axis first."""

    build: Build
    image: Value
    grid: Value

    def sampled(self, how: GridSampling, outside: Outside, *, align_corners: bool) -> Value:
        build, rank = self.build, self.build.rank(self.image)
        along = [Along(build, extent_of(build, self.image, axis), outside, align_corners) for axis in range(2, rank)]
        places = [axis.place(at) for axis, at in zip(along, self._coordinates(rank - 2), strict=True)]
        if how is GridSampling.NEAREST:
            total = self._read(along, [build(ops.Round(), place) for place in places], ())
        else:
            places = [axis.inside(place) for axis, place in zip(along, places, strict=True)]
            floors = [build(ops.Floor(), place) for place in places]
            corners = [self._corner(along, places, floors, steps) for steps in product((0, 1), repeat=len(along))]
            total, *others = corners
            for other in others:
                total = build(ops.Add(), total, other)
        moved = build(ops.Transpose(), total, build.ints(0, 2, 1))
        shape = (extents(build, self.image, 0, 1), extents(build, self.grid, *range(1, rank - 1)))
        made = build(ops.Reshape(special_zero=False), moved, build(ops.Concat(0), *shape))
        return converted(build, made, self.image.fact.dtype)

    def _coordinates(self, count: int) -> list[Value]:
        """``[batch, point]`` for each axis of the image, the first one first."""
        build = self.build
        flat = build(ops.Reshape(special_zero=True), converted(build, self.grid, _F32), build.ints(0, -1, count))
        parts = build.node(ops.Split(count), flat, build.scalar(2)).outputs
        return [build(ops.Squeeze(), part, build.ints(2)) for part in reversed(parts)]

    def _corner(
        self, along: Sequence[Along], places: Sequence[Value], floors: Sequence[Value], steps: Sequence[int]
    ) -> Value:
        """What one of the elements around each point counts for it."""
        build = self.build
        at = [build(ops.Add(), floor, build.scalar(step, _F32)) for floor, step in zip(floors, steps, strict=True)]
        shares = []
        for place, corner in zip(places, at, strict=True):
            away = build(ops.Abs(), build(ops.Subtract(), place, corner))
            shares.append(build(ops.Subtract(), build.scalar(1, _F32), away))
        return self._read(along, at, shares)

    def _read(self, along: Sequence[Along], at: Sequence[Value], shares: Sequence[Value]) -> Value:
        """``[batch, point, channel]`` of elements, times the product of their shares."""
        build = self.build
        index, factors = build.scalar(0), list(shares)
        for axis, place in zip(along, at, strict=True):
            inside = axis.inside(place)
            if axis.outside is Outside.ZEROS:
                factors.append(axis.contains(inside))
            own = converted(build, axis.bounded(inside), ElementType.i64)
            index = build(ops.Add(), build(ops.Multiply(), index, axis.elements), own)
        flat = build(ops.Reshape(special_zero=True), converted(build, self.image, _F32), build.ints(0, 0, -1))
        elements = build(ops.Transpose(), flat, build.ints(0, 2, 1))
        found = build(ops.Gather(1), elements, index, build.scalar(1))
        for factor in factors:
            found = build(ops.Multiply(), found, build(ops.Unsqueeze(), factor, build.ints(2)))
        return found
