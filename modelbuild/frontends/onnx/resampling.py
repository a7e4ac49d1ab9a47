"""Resizing whose extents or factors come at run time, in ways that Interpolate has no attribute for.

An axis is resized by a product with a matrix ``[wanted, extent]`` that is computed from the numbers when they come, in
single precision; the nearest elements are gathered.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.shapes import converted, extent_of, number
from modelbuild.graph import Op, Value
from modelbuild.ops import NearestRounding, Resampling
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.shape import same

_F32, _I64 = ElementType.f32, ElementType.i64


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its extents before and after and the factor between them, all scalars of f32.

    ``start`` and ``end`` say which part of it is taken, 0 to 1 being all, where not all is taken.
    """

    extent: Value
    wanted: Value
    factor: Value
    start: Value | None = None
    end: Value | None = None

    def places(self, build: Build, transformation: str) -> Value:
        """Where the elements of the output lie in the input, ``[wanted]``."""
        sums = Sums(build)
        out = build(ops.Range(_F32), sums.number(0), self.wanted, sums.number(1))
        last = sums.minus(self.extent, 1)
        steps = build(ops.Maximum(), sums.minus(self.wanted, 1), sums.number(1))
        match transformation:
            case "half_pixel":
                return sums.half_pixel(out, self.factor)
            case "pytorch_half_pixel":
                return self._unless_alone(build, sums.half_pixel(out, self.factor), sums.number(0))
            case "asymmetric":
                return sums.over(out, self.factor)
            case "tf_half_pixel_for_nn":
                return sums.over(sums.plus(out, 0.5), self.factor)
            case "align_corners":
                return sums.over(sums.times(out, last), steps)
            case "half_pixel_symmetric":
                lost = sums.minus(sums.number(1), sums.over(self.wanted, sums.times(self.factor, self.extent)))
                offset = sums.times(sums.times(self.extent, 0.5), lost)
                return sums.plus(sums.half_pixel(out, self.factor), offset)
            case "tf_crop_and_resize" if self.start is not None and self.end is not None:
                part = sums.over(sums.times(sums.times(out, sums.minus(self.end, self.start)), last), steps)
                middle = sums.times(sums.times(sums.plus(self.start, self.end), last), 0.5)
                return self._unless_alone(build, sums.plus(sums.times(self.start, last), part), middle)
        raise ValueError(f"coordinate_transformation_mode is {transformation!r}, which is not known")

    def within(self, build: Build, at: Value, behind: int) -> Value:
        """Which places lie in the input, with so many axes of one behind them."""
        last = build(ops.Subtract(), self.extent, build.scalar(1, _F32))
        begun = build(ops.GreaterEqual(), at, build.scalar(0, _F32))
        both = build(ops.LogicalAnd(), begun, build(ops.LessEqual(), at, last))
        return build(ops.Unsqueeze(), both, build.ints(*range(1, 1 + behind))) if behind else both

    def _unless_alone(self, build: Build, many: Value, one: Value) -> Value:
        alone = build(ops.LessEqual(), self.wanted, build.scalar(1, _F32))
        return build(ops.Select(), alone, one, many)


@dataclass(frozen=True, slots=True)
class Sums:
    """Arithmetic of single precision."""

    build: Build

    def number(self, value: float | Value) -> Value:
        return value if isinstance(value, Value) else self.build.scalar(value, _F32)

    def _make(self, op: Op, a: Value, b: Value | float) -> Value:
        return self.build(op, a, self.number(b))

    def plus(self, a: Value, b: Value | float) -> Value:
        return self._make(ops.Add(), a, b)

    def minus(self, a: Value, b: Value | float) -> Value:
        return self._make(ops.Subtract(), a, b)

    def times(self, a: Value, b: Value | float) -> Value:
        return self._make(ops.Multiply(), a, b)

    def over(self, a: Value, b: Value | float) -> Value:
        return self._make(ops.Divide(), a, b)

    def half_pixel(self, out: Value, factor: Value) -> Value:
        return self.minus(self.over(self.plus(out, 0.5), factor), 0.5)


@dataclass(frozen=True, slots=True)
class Kernel:
    """How elements count by their distance, or which is taken. ``antialias`` widens the kernel where an axis shrinks.

    Elements beyond the ends are those at the ends, or nothing.
    """

    mode: Resampling
    rounding: NearestRounding
    cube_coeff: float
    antialias: bool
    exclude_outside: bool

    def along(self, build: Build, x: Value, number_of: int, at: Value, axis: Axis) -> Value:
        """``x`` with the elements of an axis taken, or mixed, at these places."""
        if self.mode is Resampling.NEAREST:
            return build(ops.Gather(), x, self.nearest(build, at, axis), build.scalar(number_of))
        return mixed(build, x, number_of, self.shares(build, at, axis))

    def nearest(self, build: Build, at: Value, axis: Axis) -> Value:
        """The number of the element next to each place."""
        sums = Sums(build)
        match self.rounding:
            case NearestRounding.ROUND_PREFER_FLOOR:
                near = build(ops.Ceiling(), sums.minus(at, 0.5))
            case NearestRounding.ROUND_PREFER_CEIL:
                near = build(ops.Floor(), sums.plus(at, 0.5))
            case NearestRounding.CEIL:
                near = build(ops.Ceiling(), at)
            case _:
                near = build(ops.Floor(), at)
        return converted(build, build(ops.Minimum(), build(ops.Relu(), near), sums.minus(axis.extent, 1)), _I64)

    def shares(self, build: Build, at: Value, axis: Axis) -> Value:
        """How much each element (columns) counts for the value at each place (rows)."""
        sums = Sums(build)
        narrow = build(ops.Minimum(), axis.factor, sums.number(1)) if self.antialias else sums.number(1)
        reach = build(ops.Ceiling(), sums.over(sums.number(2 if self.mode is Resampling.CUBIC else 1), narrow))
        margin = sums.plus(reach, _FARTHEST + 1)
        near = build(ops.Maximum(), at, sums.number(-_FARTHEST))
        near = build(ops.Minimum(), near, sums.plus(axis.extent, _FARTHEST))
        elements = build(ops.Range(_F32), build(ops.Negative(), margin), sums.plus(axis.extent, margin), sums.number(1))
        distance = sums.times(sums.minus(elements, build(ops.Unsqueeze(), near, build.ints(1))), narrow)
        each = self._of_distance(build, build(ops.Abs(), distance))
        own = build(ops.Range(_F32), sums.number(0), axis.extent, sums.number(1))
        kept = elements
        if not self.exclude_outside:
            kept = build(ops.Minimum(), build(ops.Relu(), elements), sums.minus(axis.extent, 1))
        same = build(ops.Equal(), build(ops.Unsqueeze(), kept, build.ints(1)), own)
        matrix = build(ops.MatMul(), each, converted(build, same, _F32))
        return build(ops.Divide(), matrix, build(ops.ReduceSum(keep_dims=True), matrix, build.ints(1)))

    def _of_distance(self, build: Build, x: Value) -> Value:
        sums = Sums(build)
        if self.mode is not Resampling.CUBIC:
            return build(ops.Relu(), sums.minus(sums.number(1), x))
        a = self.cube_coeff
        inner = sums.plus(sums.times(sums.times(sums.minus(sums.times(x, a + 2), a + 3), x), x), 1)
        outer = sums.times(sums.minus(sums.times(sums.plus(sums.times(sums.minus(x, 5), x), 8), x), 4), a)
        far = build(ops.Select(), build(ops.Less(), x, sums.number(2)), outer, sums.number(0))
        return build(ops.Select(), build(ops.LessEqual(), x, sums.number(1)), inner, far)


_FARTHEST = 2
"""Places farther than this from the ends see nothing but the elements at the ends, as those at this distance do."""


def mixed(build: Build, x: Value, axis: int, matrix: Value) -> Value:
    """``x`` with sums of its elements along an axis, by the rows of a matrix of f32."""
    real = x if x.fact.dtype.is_real else converted(build, x, _F32)
    weights = converted(build, matrix, real.fact.dtype)
    rank = build.rank(x)
    if axis == rank - 1:
        y = build(ops.MatMul(transpose_b=True), real, weights)
    elif axis == rank - 2:
        y = build(ops.MatMul(), weights, real)
    else:
        order = [*range(axis), *range(axis + 1, rank), axis]
        last = build(ops.Transpose(), real, build.ints(*order))
        product = build(ops.MatMul(transpose_b=True), last, weights)
        y = build(ops.Transpose(), product, build.ints(*(order.index(i) for i in range(rank))))
    return converted(build, y, x.fact.dtype)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be resized and how much: by ``scales`` or to ``sizes``, a number an axis, as far as known at all.

    ``roi`` says which part is taken, where not all is: the starts of all axes, then the ends.
    """

    axes: Ints
    scales: Value | None
    sizes: Value | None
    roi: Value | None
    transformation: str

    def resized(self, build: Build, x: Value, kernel: Kernel, extrapolation: float) -> Value:
        """One axis after the other. What lies outside of the input when a part is taken is ``extrapolation``."""
        y, inside = x, None
        for i, number_of in enumerate(self.axes):
            if self.roi is None and self._stays(x, i):
                continue
            axis = self._axis(build, x, i)
            at = axis.places(build, self.transformation)
            y = kernel.along(build, y, number_of, at, axis)
            if self.roi is not None:
                within = axis.within(build, at, build.rank(x) - 1 - number_of)
                inside = within if inside is None else build(ops.LogicalAnd(), inside, within)
        return y if inside is None else build(ops.Select(), inside, y, number(build, extrapolation, y))

    def _stays(self, x: Value, i: int) -> bool:
        extent = (x.fact.shape or ())[self.axes[i]]
        if self.sizes is not None:
            return self.sizes.fact.elements is not None and same(self.sizes.fact.elements[i], extent)
        factors = None if self.scales is None else self.scales.fact.value
        return factors is not None and float(factors.numpy().reshape(-1)[i]) == 1

    def _axis(self, build: Build, x: Value, i: int) -> Axis:
        extent = converted(build, extent_of(build, x, self.axes[i]), _F32)
        start, end = (self._of_roi(build, at) for at in (i, len(self.axes) + i))
        if self.sizes is not None:
            wanted = _element(build, self.sizes, i)
            return Axis(extent, wanted, build(ops.Divide(), wanted, extent), start, end)
        if self.scales is None:
            raise ValueError("neither scales nor sizes are given")
        factor = _element(build, self.scales, i)
        return Axis(extent, build(ops.Floor(), build(ops.Multiply(), extent, factor)), factor, start, end)

    def _of_roi(self, build: Build, at: int) -> Value | None:
        return None if self.roi is None else _element(build, self.roi, at)


def _element(build: Build, numbers: Value, i: int) -> Value:
    return converted(build, build(ops.Gather(), numbers, build.scalar(i), build.scalar(0)), _F32)
