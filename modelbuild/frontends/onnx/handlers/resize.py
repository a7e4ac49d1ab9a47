"""ONNX resampling: images at other sizes, and at given points."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.resampling import Kernel, Request, mixed
from modelbuild.frontends.onnx.shapes import converted, extents, number
from modelbuild.graph import Value
from modelbuild.ops import Coordinates, NearestRounding, Resampling, ShapeSource
from modelbuild.ops.resize import shares
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.shape import same

if TYPE_CHECKING:
    from modelbuild.tensor.shape import Dim


E = TypeVar("E", bound=StrEnum)

_LARGEST_MATRIX = 1 << 26


@onnx.op("Upsample")
def upsample_image(build: Build, x: Value, *, height_scale: float, mode: str = "nearest", width_scale: float) -> Value:
    how = {"nearest": "nearest", "bilinear": "linear"}
    if mode not in how:
        raise ValueError(f"mode is {mode!r}, neither nearest nor bilinear")
    return upsample_by(build, x, mode=how[mode], scales=(1.0, 1.0, height_scale, width_scale))


@onnx.op("Upsample", since=7)
def upsample_by(build: Build, x: Value, *, mode: str = "nearest", scales: Floats) -> Value:
    return upsample(build, x, build.const(np.array(scales, np.float32)), mode=mode)


@onnx.op("Upsample", since=9)
def upsample(build: Build, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    how = Filter(_mode(mode), Coordinates.ASYMMETRIC, NearestRounding.FLOOR)
    return by_scales(build, x, scales, None, how)


@onnx.op("Resize", since=10)
def resize_10(build: Build, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    how = Filter(_mode(mode), Coordinates.ASYMMETRIC, NearestRounding.SIMPLE)
    return by_scales(build, x, scales, None, how)


@onnx.op("Resize", since=11)
def resize(
    build: Build, x: Value, roi: Value | None = None, scales: Value | None = None, sizes: Value | None = None, *,
    antialias: int = 0, axes: Ints = (), coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
) -> Value:  # fmt: skip
    if sizes is not None and sizes.fact.shape == (0,):
        sizes = None
    if scales is not None and scales.fact.shape == (0,):
        scales = None
    chosen = tuple(build.axis(a, build.rank(x, "X")) for a in axes) or None
    how = Filter(
        _mode(mode), Coordinates.HALF_PIXEL, member(NearestRounding, nearest_mode), bool(antialias), cubic_coeff_a
    )
    if sizes is not None and keep_aspect_ratio_policy != "stretch":
        sizes = _keeping_aspect(build, x, sizes, chosen, keep_aspect_ratio_policy)
    special = coordinate_transformation_mode in {"tf_crop_and_resize", "half_pixel_symmetric"}
    if special or ((exclude_outside or antialias) and how.mode is not Resampling.NEAREST):
        grid = Grid(how, coordinate_transformation_mode, bool(exclude_outside), extrapolation_value)
        return grid.resized(build, x, roi, scales, sizes, chosen)
    how = how.at(member(Coordinates, coordinate_transformation_mode))
    if sizes is not None:
        return by_sizes(build, x, sizes, chosen, how)
    if scales is None:
        raise ValueError("neither scales nor sizes are given")
    return by_scales(build, x, scales, chosen, how)


IMAGE = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class Filter:
    """How elements between elements are made."""

    mode: Resampling
    coordinates: Coordinates
    rounding: NearestRounding
    antialias: bool = False
    cube_coeff: float = -0.75

    def at(self, coordinates: Coordinates) -> Filter:
        return Filter(self.mode, coordinates, self.rounding, self.antialias, self.cube_coeff)

    def op(self, source: ShapeSource) -> ops.Interpolate:
        return ops.Interpolate(
            self.mode, source, self.coordinates, self.rounding, antialias=False, cube_coeff=self.cube_coeff
        )


def by_scales(build: Build, x: Value, scales: Value, axes: Ints | None, how: Filter) -> Value:
    """Resized by factors, one for each of ``axes`` (all, if ``None``); axes with a factor of one are left alone."""
    axes = axes or tuple(range(build.rank(x, "X")))
    if scales.fact.value is None:
        return build(how.op(ShapeSource.SCALES), x, scales, build.ints(*axes))
    factors = scales.fact.value.numpy().reshape(-1)
    if len(factors) != len(axes):
        raise ValueError(f"{len(factors)} scales for {len(axes)} axes")
    changed = [i for i, factor in enumerate(factors) if factor != 1]
    if not changed:
        return x
    if axes == IMAGE and changed == [2, 3]:  # all axes of an image need not be named
        return build(how.op(ShapeSource.SCALES), x, build.const(factors.astype(np.float32)))
    kept = build.const(factors[changed].astype(np.float32))
    return build(how.op(ShapeSource.SCALES), x, kept, build.ints(*(axes[i] for i in changed)))


def by_sizes(build: Build, x: Value, sizes: Value, axes: Ints | None, how: Filter) -> Value:
    """Resized to extents, one for each of ``axes`` (all, if ``None``); axes known to have them are left alone."""
    axes = axes or tuple(range(build.rank(x, "X")))
    shape = x.fact.shape or ()
    wanted: tuple[Dim, ...] | None = sizes.fact.elements
    if wanted is not None:
        if len(wanted) != len(axes):
            raise ValueError(f"{len(wanted)} sizes for {len(axes)} axes")
        changed = [i for i, axis in enumerate(axes) if not same(shape[axis], wanted[i])]
        if not changed:
            return x
        if len(changed) < len(axes):
            sizes = build(ops.Gather(), sizes, build.ints(*changed), build.scalar(0))
            axes = tuple(axes[i] for i in changed)
    return build(how.op(ShapeSource.SIZES), x, sizes, build.ints(*axes))


def _keeping_aspect(build: Build, x: Value, sizes: Value, axes: Ints | None, policy: str) -> Value:
    """The extents that the one factor gives with which the sizes are just not exceeded, or just reached."""
    if policy not in {"not_larger", "not_smaller"}:
        raise ValueError(f"keep_aspect_ratio_policy is {policy!r}, none of stretch, not_larger, not_smaller")
    own = converted(build, extents(build, x, *(axes or range(build.rank(x, "X")))), ElementType.f32)
    factors = build(ops.Divide(), converted(build, sizes, ElementType.f32), own)
    reduce = (ops.ReduceMin if policy == "not_larger" else ops.ReduceMax)(keep_dims=True)
    grown = build(ops.Multiply(), own, build(reduce, factors, build.ints(0)))
    return converted(build, build(ops.Floor(), build(ops.Add(), grown, number(build, 0.5, grown))), ElementType.i64)


def _mode(mode: str) -> Resampling:
    found = {"nearest": Resampling.NEAREST, "linear": Resampling.LINEAR_ONNX, "cubic": Resampling.CUBIC}.get(mode)
    if found is None:
        raise ValueError(f"mode is {mode!r}, none of nearest, linear, cubic")
    return found


# --- what the operation cannot say -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grid:
    """A resize as matrices, one an axis, for what the operation has no attribute for.

    They are constants where extents, factors and the part that is taken are known.
    """

    how: Filter
    transformation: str
    exclude_outside: bool
    extrapolation: float

    def resized(
        self, build: Build, x: Value, roi: Value | None, scales: Value | None, sizes: Value | None, axes: Ints | None
    ) -> Value:
        axes = axes or tuple(range(build.rank(x, "X")))
        roi = _checked(roi, len(axes)) if self.transformation == "tf_crop_and_resize" else None
        known = all(isinstance((x.fact.shape or ())[axis], int) for axis in axes)
        if not known or any(v is not None and v.fact.value is None for v in (roi, scales, sizes)):
            kernel = Kernel(
                self.how.mode, self.how.rounding, self.how.cube_coeff, self.how.antialias, self.exclude_outside
            )
            request = Request(axes, scales, sizes, roi, self.transformation)
            return request.resized(build, x, kernel, self.extrapolation)
        extents = tuple(d for axis in axes if isinstance(d := (x.fact.shape or ())[axis], int))
        factors, wanted = _targets(build, extents, scales, sizes)
        spans = _spans(build, roi, len(axes))
        y, inside = x, np.ones((), bool)
        for i, axis in enumerate(axes):
            if wanted[i] == extents[i] and factors[i] == 1 and spans[i] == (0, 1):
                continue
            if wanted[i] * (1 if self.how.mode is Resampling.NEAREST else extents[i]) > _LARGEST_MATRIX:
                raise build.refuse(f"{wanted[i]} elements are to be made of {extents[i]} along axis {axis}")
            at = self.places(extents[i], factors[i], wanted[i], spans[i])
            y = self.along(build, y, axis, at, extents[i], factors[i])
            if roi is not None:
                within = (at >= 0) & (at <= extents[i] - 1)
                inside = inside & within.reshape(-1, *[1] * (build.rank(x) - 1 - axis))
        if roi is None or inside.all():
            return y
        return build(ops.Select(), build.const(inside), y, number(build, self.extrapolation, y))

    def places(self, extent: int, factor: float, wanted: int, span: tuple[float, float]) -> Array:
        """Where the elements of the output lie in the input."""
        out = np.arange(wanted, dtype=np.float64)
        match self.transformation:
            case "tf_crop_and_resize":
                start, end = span
                if wanted == 1:
                    return np.array([(start + end) * (extent - 1) / 2])
                return np.asarray(start * (extent - 1) + out * (end - start) * (extent - 1) / (wanted - 1))
            case "half_pixel_symmetric":
                offset = extent / 2 * (1 - wanted / (factor * extent))
                return np.asarray(offset + (out + 0.5) / factor - 0.5)
        return member(Coordinates, self.transformation).source(out, factor, extent, wanted)

    def along(self, build: Build, x: Value, axis: int, at: Array, extent: int, factor: float) -> Value:
        """``x`` with the elements of one axis taken, or mixed, at these places."""
        if self.how.mode is Resampling.NEAREST:
            near = self.how.rounding.round(at, shrinks=factor < 1).clip(0, extent - 1)
            return build(ops.Gather(), x, build.const(near.astype(np.int64)), build.scalar(axis))
        matrix = shares(
            at, extent, self.how.mode,
            narrow=min(factor, 1.0) if self.how.antialias else 1.0,
            cube_coeff=self.how.cube_coeff, exclude_outside=self.exclude_outside,
        )  # fmt: skip
        return mixed(build, x, axis, build.const(matrix.astype(np.float32)))


def _targets(build: Build, extents: Ints, scales: Value | None, sizes: Value | None) -> tuple[Floats, Ints]:
    """The factor and the new extent of each axis."""
    if sizes is not None:
        wanted = build.known_ints(sizes, "sizes")
        return tuple(w / d for w, d in zip(wanted, extents, strict=True)), wanted
    if scales is None:
        raise ValueError("neither scales nor sizes are given")
    factors = tuple(_known_numbers(build, scales, "scales"))
    return factors, tuple(int(np.floor(f * d)) for f, d in zip(factors, extents, strict=True))


def _checked(roi: Value | None, axes: int) -> Value:
    if roi is None:
        raise ValueError("tf_crop_and_resize needs a roi")
    if roi.fact.static_shape not in {None, (2 * axes,)}:
        raise ValueError(f"the roi is {roi.fact}, two numbers for each of {axes} axes expected")
    return roi


def _spans(build: Build, roi: Value | None, axes: int) -> list[tuple[float, float]]:
    """Which part of each axis is taken, 0 to 1 being all of it."""
    if roi is None:
        return [(0.0, 1.0)] * axes
    numbers = _known_numbers(build, roi, "roi")
    return list(zip(numbers[:axes], numbers[axes:], strict=True))


def _known_numbers(build: Build, value: Value, what: str) -> list[float]:
    if value.fact.value is None:
        raise build.refuse(f"{what} ({value}) is computed at run time, a constant is needed")
    return [float(n) for n in value.fact.value.numpy().reshape(-1)]


def member(kind: type[E], name: str) -> E:
    """The member of this name; raises ``ValueError`` with the names there are."""
    if name not in list(kind):
        raise ValueError(f"{name!r} is none of {', '.join(kind)}")
    return kind(name)
