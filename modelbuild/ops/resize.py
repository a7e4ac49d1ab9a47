"""Resampling: images at other sizes, and at given points."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import Any, ClassVar

import msgspec
import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.elementwise import expect_numbers
from modelbuild.tensor.dtype import Array, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, decide_equal


class Resampling(StrEnum):
    NEAREST = "nearest"
    LINEAR = "linear"
    LINEAR_ONNX = "linear_onnx"
    CUBIC = "cubic"


class ShapeSource(StrEnum):
    SIZES = "sizes"
    SCALES = "scales"


class Coordinates(StrEnum):
    """Where an element of the output lies in the input."""

    HALF_PIXEL = "half_pixel"
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"
    ASYMMETRIC = "asymmetric"
    TF_HALF_PIXEL_FOR_NN = "tf_half_pixel_for_nn"
    ALIGN_CORNERS = "align_corners"

    def source(self, out: Array, scale: float | np.floating[Any], extent: int, wanted: int) -> Array:
        match self:
            case Coordinates.HALF_PIXEL:
                return np.asarray((out + 0.5) / scale - 0.5)
            case Coordinates.PYTORCH_HALF_PIXEL:
                return np.asarray((out + 0.5) / scale - 0.5) if wanted > 1 else np.zeros_like(out)
            case Coordinates.ASYMMETRIC:
                return np.asarray(out / scale)
            case Coordinates.TF_HALF_PIXEL_FOR_NN:
                return np.asarray((out + 0.5) / scale)
            case Coordinates.ALIGN_CORNERS:
                return np.asarray(out * (extent - 1) / (wanted - 1)) if wanted > 1 else np.zeros_like(out)


class NearestRounding(StrEnum):
    ROUND_PREFER_FLOOR = "round_prefer_floor"
    ROUND_PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"
    SIMPLE = "simple"

    def round(self, x: Array, *, shrinks: bool) -> Array:
        match self:
            case NearestRounding.ROUND_PREFER_FLOOR:
                return np.ceil(x - 0.5)
            case NearestRounding.ROUND_PREFER_CEIL:
                return np.floor(x + 0.5)
            case NearestRounding.FLOOR:
                return np.floor(x)
            case NearestRounding.CEIL:
                return np.ceil(x)
            case NearestRounding.SIMPLE:
                return np.ceil(x) if shrinks else np.trunc(x)


class Interpolate(Op, frozen=True):
    """``data`` with the axes of the third input resized to the sizes, or by the scales, of the second."""

    mode: Resampling
    shape_calculation_mode: ShapeSource
    coordinate_transformation_mode: Coordinates = Coordinates.HALF_PIXEL
    nearest_mode: NearestRounding = NearestRounding.ROUND_PREFER_FLOOR
    antialias: bool = False
    pads_begin: Ints = ()
    pads_end: Ints = ()
    cube_coeff: float = -0.75

    version: ClassVar[str] = "opset11"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, target: Fact, axes: Fact | None = None) -> Fact:
        expect_numbers(self, data, target)
        of_scales = self.shape_calculation_mode is ShapeSource.SCALES
        if target.dtype.is_real is not of_scales or target.rank not in {None, 1}:
            wanted = "real numbers" if of_scales else "integers"
            raise ValueError(f"{self.shape_calculation_mode} are {target}, a list of {wanted} expected")
        if data.shape is None:
            return Fact(data.dtype)
        chosen = tuple(range(len(data.shape))) if axes is None else axes.ints
        if chosen is None:
            return Fact(data.dtype, (UNKNOWN,) * len(data.shape))
        shape = [d + b + e for d, b, e in zip(data.shape, *self._pads(len(data.shape)), strict=True)]
        if any(not -len(shape) <= axis < len(shape) for axis in chosen):
            raise ValueError(f"Interpolate along the axes {chosen} of {data}")
        for i, axis in enumerate(chosen):
            shape[axis] = self._extent(shape[axis], target, i, len(chosen))
        return Fact(data.dtype, tuple(shape))

    def _pads(self, rank: int) -> tuple[Ints, Ints]:
        begin, end = ((*pads, *(0,) * (rank - len(pads))) for pads in (self.pads_begin, self.pads_end))
        return begin, end

    def _extent(self, extent: Dim, target: Fact, i: int, count: int) -> Dim:
        if self.shape_calculation_mode is ShapeSource.SIZES:
            sizes = target.elements or (UNKNOWN,) * count
            if len(sizes) != count:
                raise ValueError(f"{len(sizes)} sizes for {count} axes")
            return sizes[i]
        if target.value is None:
            return UNKNOWN
        scales = target.value.numpy().reshape(-1)
        if len(scales) != count:
            raise ValueError(f"{len(scales)} scales for {count} axes")
        return _scaled(extent, float(scales[i]))

    def evaluate(self, data: Array, target: Array, axes: Array | None = None) -> Array:
        wide = data.astype(np.float64)
        y = np.pad(wide, list(zip(*self._pads(data.ndim), strict=True)))
        chosen = range(data.ndim) if axes is None else axes.reshape(-1).tolist()
        for axis, wanted in zip(chosen, target.reshape(-1).tolist(), strict=True):
            extent = y.shape[axis]
            if self.shape_calculation_mode is ShapeSource.SIZES:
                matrix = self._weights(extent, wanted, wanted / extent)
            else:
                matrix = self._weights(extent, _scaled_number(extent, wanted), wanted)
            y = np.moveaxis(np.tensordot(matrix, y, axes=(1, axis)), 0, axis)
        return np.asarray(np.rint(y) if data.dtype.kind in "iu" else y).astype(data.dtype)

    def _weights(self, extent: int, wanted: int, scale: float) -> Array:
        """The share of each input element (columns) in each output element (rows) along one axis."""
        out = np.arange(wanted, dtype=np.float32)  # in single precision, as the runtime does it: floors depend on it
        at = self.coordinate_transformation_mode.source(out, np.float32(scale), extent, wanted)
        if self.mode is Resampling.NEAREST:
            near = self.nearest_mode.round(at, shrinks=scale < 1).clip(0, extent - 1).astype(int)
            return np.asarray(np.eye(extent)[near])
        narrow = min(scale, 1.0) if self.antialias else 1.0
        alone = self.mode is Resampling.LINEAR
        return shares(at, extent, self.mode, narrow=narrow, cube_coeff=self.cube_coeff, exclude_outside=alone)


class Interpolate4(Interpolate, frozen=True):
    """The earlier form: sizes and scales are inputs both, of which the mode looks at one."""

    version: ClassVar[str] = "opset4"
    type_name: ClassVar[str] = "Interpolate"
    precise_inputs: ClassVar[tuple[int, ...]] = (1, 2)

    @classmethod
    def of(cls, op: Interpolate) -> Interpolate4:
        """The same in this form."""
        return cls(**msgspec.structs.asdict(op))

    def infer(self, data: Fact, sizes: Fact, scales: Fact, axes: Fact | None = None) -> Fact:  # type: ignore[override]
        return super().infer(data, sizes if self._by_sizes else scales, axes)

    def evaluate(  # type: ignore[override]
        self, data: Array, sizes: Array, scales: Array, axes: Array | None = None
    ) -> Array:
        return super().evaluate(data, sizes if self._by_sizes else scales, axes)

    @property
    def _by_sizes(self) -> bool:
        return self.shape_calculation_mode is ShapeSource.SIZES


def shares(
    at: Array, extent: int, mode: Resampling, *, narrow: float, cube_coeff: float, exclude_outside: bool
) -> Array:
    """How much each element of an axis (columns) counts for the value at each place (rows), linear or cubic.

    ``narrow`` below one widens the kernel. Elements beyond the ends are those at the ends, or nothing.
    """
    cubic = mode is Resampling.CUBIC
    reach = int(np.ceil((2 if cubic else 1) / narrow))
    rows = np.arange(len(at))
    matrix = np.zeros((len(at), extent))
    for step in range(-reach, reach + 2):
        place = np.floor(at) + step
        distance = (place - at) * narrow
        share = _cubic(distance, cube_coeff) if cubic else _triangle(distance)
        if exclude_outside:
            share = share * ((place >= 0) & (place < extent))
        np.add.at(matrix, (rows, place.clip(0, extent - 1).astype(int)), share)
    total = matrix.sum(1, keepdims=True)
    return np.asarray(np.divide(matrix, total, out=np.zeros_like(matrix), where=total != 0))


def _triangle(distance: Array) -> Array:
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def _cubic(distance: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    x = np.abs(distance)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.asarray(np.where(x <= 1, inner, np.where(x < 2, outer, 0)))


def _scaled(extent: Dim, scale: float) -> Dim:
    """``floor(extent * scale)``, the product in single precision as the runtime computes it."""
    if isinstance(extent, int):
        return _scaled_number(extent, scale)
    return extent * int(scale) if scale.is_integer() else UNKNOWN


def _scaled_number(extent: int, scale: float) -> int:
    return int(np.floor(np.float32(extent) * np.float32(scale)))


class GridSampling(StrEnum):
    BILINEAR = "bilinear"
    NEAREST = "nearest"
    BICUBIC = "bicubic"


class Outside(StrEnum):
    """What is read outside the image."""

    ZEROS = "zeros"
    BORDER = "border"
    REFLECTION = "reflection"


class GridSample(Op, frozen=True):
    """data N,C,H,W   grid N,h,w,2 (right, down; -1..1 spans the image)   ->   N,C,h,w"""

    align_corners: bool = False
    mode: GridSampling = GridSampling.BILINEAR
    padding_mode: Outside = Outside.ZEROS

    version: ClassVar[str] = "opset9"

    def infer(self, data: Fact, grid: Fact) -> Fact:
        for fact, what in ((data, "image"), (grid, "grid")):
            if fact.rank not in {None, 4}:
                raise ValueError(f"GridSample takes an {what} of four axes, not {fact}")
        image, points = data.shape or (UNKNOWN,) * 4, grid.shape or (UNKNOWN,) * 4
        if decide_equal(points[3], 2) is False:
            raise ValueError(f"GridSample takes points of two numbers, not {grid}")
        return Fact(data.dtype, (image[0] if data.shape else points[0], image[1], points[1], points[2]))

    def evaluate(self, data: Array, grid: Array) -> Array:
        height, width = data.shape[2:]
        x, y = (self._unscaled(grid[..., i].astype(np.float32), n) for i, n in enumerate((width, height)))
        if self.mode is GridSampling.NEAREST:
            return self._read(data, np.rint(y), np.rint(x)).astype(data.dtype)
        if self.mode is GridSampling.BILINEAR:
            x, y = self._inside(x, width), self._inside(y, height)
        steps = range(-1, 3) if self.mode is GridSampling.BICUBIC else range(2)
        total = np.zeros((*data.shape[:2], *grid.shape[1:3]))
        for dy, dx in product(steps, steps):
            row, column = np.floor(y) + dy, np.floor(x) + dx
            share = self._kernel(y - row) * self._kernel(x - column)
            total += self._read(data, row, column) * share[:, None]
        return total.astype(data.dtype)

    def _unscaled(self, at: Array, extent: int) -> Array:
        """The place, in elements, of a coordinate in -1..1."""
        return np.asarray((at + 1) / 2 * (extent - 1) if self.align_corners else ((at + 1) * extent - 1) / 2)

    def _inside(self, place: Array, extent: int) -> Array:
        if self.padding_mode is Outside.BORDER:
            return np.asarray(place.clip(0, extent - 1))
        if self.padding_mode is Outside.REFLECTION:
            low, span = (0.0, float(extent - 1)) if self.align_corners else (-0.5, float(extent))
            if span == 0:
                return np.zeros_like(place)
            folded = np.mod(place - low, 2 * span)
            return np.asarray(np.minimum(folded, 2 * span - folded) + low).clip(0, extent - 1)
        return place

    def _read(self, data: Array, row: Array, column: Array) -> Array:
        height, width = data.shape[2:]
        row, column = self._inside(row, height), self._inside(column, width)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        rows, columns = (i.clip(0, n - 1).astype(int) for i, n in ((row, height), (column, width)))
        batch = np.arange(len(data))[:, None, None]
        found = data.transpose(0, 2, 3, 1)[batch, rows, columns]
        return np.moveaxis(np.where(inside[..., None], found, 0), -1, 1)

    def _kernel(self, distance: Array) -> Array:
        return _triangle(distance) if self.mode is GridSampling.BILINEAR else _cubic(distance, -0.75)
