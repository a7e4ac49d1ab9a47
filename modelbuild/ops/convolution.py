"""Convolutions, and the window that they share with the poolings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Any, ClassVar

import msgspec
import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, decide_equal


class Padding(StrEnum):
    EXPLICIT = "explicit"
    SAME_UPPER = "same_upper"
    SAME_LOWER = "same_lower"
    VALID = "valid"

    @property
    def is_same(self) -> bool:
        """Whether the output has an element for each ``stride`` elements of the input, the last ones counting full."""
        return self.startswith("same")


class Window(msgspec.Struct, frozen=True):
    """How a kernel slides over the spatial axes; a list has one number an axis."""

    strides: Ints
    dilations: Ints
    pads_begin: Ints
    pads_end: Ints
    auto_pad: Padding = Padding.EXPLICIT

    @classmethod
    def plain(cls, axes: int) -> Window:
        """A step of one, no dilation, no padding."""
        return cls((1,) * axes, (1,) * axes, (0,) * axes, (0,) * axes)

    def check(self, axes: int) -> None:
        """Raise ``ValueError`` unless this is a window over so many axes."""
        if not len(self.strides) == len(self.dilations) == len(self.pads_begin) == len(self.pads_end) == axes:
            given = f"{self.strides}, {self.dilations}, {self.pads_begin} and {self.pads_end}"
            raise ValueError(f"strides, dilations and pads are {given}, there are {axes} spatial axes")
        if min(self.strides, default=1) < 1 or min(self.dilations, default=1) < 1:
            raise ValueError(f"strides {self.strides} and dilations {self.dilations} must be positive")

    def reach(self, axis: int, kernel: Dim) -> Dim:
        """How many elements the kernel spans."""
        return (kernel - 1) * self.dilations[axis] + 1

    def pads(self, axis: int, extent: int, kernel: int) -> tuple[int, int]:
        """Elements before and after an axis of this extent."""
        if self.auto_pad is Padding.EXPLICIT:
            return self.pads_begin[axis], self.pads_end[axis]
        if self.auto_pad is Padding.VALID:
            return 0, 0
        reach = self.dilations[axis] * (kernel - 1) + 1
        total = max((-(-extent // self.strides[axis]) - 1) * self.strides[axis] + reach - extent, 0)
        small, big = total // 2, total - total // 2
        return (small, big) if self.auto_pad is Padding.SAME_UPPER else (big, small)

    def slide(self, axis: int, extent: Dim, kernel: Dim) -> Dim:
        """The extent of the output; raises ``ValueError`` where the kernel does not fit in."""
        stride = self.strides[axis]
        if self.auto_pad.is_same:
            return (extent + stride - 1) // stride
        padded = extent + (self.pads_begin[axis] + self.pads_end[axis] if self.auto_pad is Padding.EXPLICIT else 0)
        reach = self.reach(axis, kernel)
        if isinstance(padded, int) and isinstance(reach, int) and reach > padded:
            raise ValueError(f"a kernel that spans {reach} does not fit into {padded}")
        return (padded - reach) // stride + 1

    def unslide(self, axis: int, extent: Dim, kernel: Dim) -> Dim:
        """The extent that a convolution would have made ``extent`` of."""
        pads = self.pads_begin[axis] + self.pads_end[axis] if self.auto_pad is Padding.EXPLICIT else 0
        return (extent - 1) * self.strides[axis] + self.reach(axis, kernel) - pads

    def patches(self, x: Array, kernel: Ints) -> Array:
        """``x`` (N, C, then spatial axes) as N, C, positions…, kernel…; padding is zero."""
        n = len(kernel)
        pads = [self.pads(i, x.shape[2 + i], kernel[i]) for i in range(n)]
        padded = np.pad(x, [(0, 0), (0, 0), *pads])
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, kernel, strict=True))
        every: list[Any] = [slice(None, None, step) for step in (1, 1, *self.strides)]
        within: list[Any] = [slice(None, None, step) for step in self.dilations]
        view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + n)))
        return np.asarray(view[tuple(every)][(..., *within)])


class Convolution(Op, frozen=True):
    """data N,I,x…   filters O,I,k…   ->   N,O,y…"""

    window: Window

    def infer(self, data: Fact, filters: Fact) -> Fact:
        _check_types(self, data, filters)
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        out, into, *kernel = filters.shape
        _check_channels(data, into)
        return Fact(data.dtype, _slid(self.window, data, out, kernel))

    def evaluate(self, data: Array, filters: Array) -> Array:
        return _convolve(self.window, data, filters)


class GroupConvolution(Op, frozen=True):
    """data N,G*I,x…   filters G,O,I,k…   ->   N,G*O,y…"""

    window: Window

    def infer(self, data: Fact, filters: Fact) -> Fact:
        _check_types(self, data, filters)
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        groups, out, into, *kernel = filters.shape
        _check_channels(data, groups * into)
        return Fact(data.dtype, _slid(self.window, data, groups * out, kernel))

    def evaluate(self, data: Array, filters: Array) -> Array:
        parts = zip(np.split(data, len(filters), axis=1), filters, strict=True)
        return np.concatenate([_convolve(self.window, d, f) for d, f in parts], axis=1)


class ConvolutionBackpropData(Op, frozen=True):
    """data N,I,x…   filters I,O,k…   [extents of y]   ->   N,O,y…

    Without the third input y is as large as the window makes it, and ``output_padding`` larger at the end. With it,
    and ``auto_pad`` one of the same, pads are chosen so that y fits; an odd one is cut off the start for ``same_upper``
    (the other way round than in a convolution).
    """

    window: Window
    output_padding: Ints = ()

    def infer(self, data: Fact, filters: Fact, output_shape: Fact | None = None) -> Fact:
        _check_types(self, data, filters)
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        into, out, *kernel = filters.shape
        _check_channels(data, into)
        return Fact(data.dtype, _unslid(self, data, out, kernel, output_shape))

    def evaluate(self, data: Array, filters: Array, output_shape: Array | None = None) -> Array:
        return _scatter(self, data, filters, output_shape)


class GroupConvolutionBackpropData(Op, frozen=True):
    """data N,G*I,x…   filters G,I,O,k…   [extents of y]   ->   N,G*O,y…"""

    window: Window
    output_padding: Ints = ()

    def infer(self, data: Fact, filters: Fact, output_shape: Fact | None = None) -> Fact:
        _check_types(self, data, filters)
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        groups, into, out, *kernel = filters.shape
        _check_channels(data, groups * into)
        return Fact(data.dtype, _unslid(self, data, groups * out, kernel, output_shape))

    def evaluate(self, data: Array, filters: Array, output_shape: Array | None = None) -> Array:
        parts = zip(np.split(data, len(filters), axis=1), filters, strict=True)
        made = [_scatter(self, d, f, output_shape) for d, f in parts]
        return np.concatenate(made, axis=1)


Backprop = ConvolutionBackpropData | GroupConvolutionBackpropData


class DeformableConvolution(Op, frozen=True):
    """data N,G*I,x…   offsets N,D*K*2,y…   filters O,I,k…   [mask N,D*K,y…]   ->   N,O,y…   (two spatial axes)

    Each kernel position reads the data at its place plus an offset (down, right), between elements by bilinear
    interpolation, and weighted with the mask. D = ``deformable_group`` shares of the channels have their own offsets.
    """

    window: Window
    group: int = 1
    deformable_group: int = 1
    bilinear_interpolation_pad: bool = False

    version: ClassVar[str] = "opset8"

    def infer(self, data: Fact, offsets: Fact, filters: Fact, mask: Fact | None = None) -> Fact:
        for other in (offsets, filters, mask or data):
            _check_types(self, data, other)
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        out, into, *kernel = filters.shape
        _check_channels(data, into * self.group)
        return Fact(data.dtype, _slid(self.window, data, out, kernel))

    def evaluate(self, data: Array, offsets: Array, filters: Array, mask: Array | None = None) -> Array:
        batch, channels = data.shape[:2]
        kernel = filters.shape[2:]
        taps = int(np.prod(kernel))
        extents = offsets.shape[2:]
        moved = offsets.reshape(batch, self.deformable_group, taps, 2, *extents)
        weight = np.ones_like(moved[:, :, :, 0]) if mask is None else mask.reshape(moved[:, :, :, 0].shape)
        starts = [self.window.pads(i, data.shape[2 + i], kernel[i])[0] for i in range(2)]
        grid = np.indices(extents)
        share = channels // self.deformable_group
        columns = np.empty((batch, channels, taps, *extents), data.dtype)
        for n, d, (t, tap) in product(range(batch), range(self.deformable_group), enumerate(np.ndindex(*kernel))):
            where = [
                grid[i] * self.window.strides[i] - starts[i] + tap[i] * self.window.dilations[i] + moved[n, d, t, i]
                for i in range(2)
            ]
            read = _bilinear(data[n, d * share : (d + 1) * share], *where)
            columns[n, d * share : (d + 1) * share, t] = read * weight[n, d, t]
        grouped = columns.reshape(batch, self.group, -1, *extents)
        matrices = filters.reshape(self.group, filters.shape[0] // self.group, -1)
        made = np.einsum("gok,ngkhw->ngohw", matrices, grouped)
        return np.asarray(made.reshape(batch, filters.shape[0], *extents))


def _bilinear(image: Array, y: Array, x: Array) -> Array:
    """The C,H,W image at real coordinates; outside it is zero."""
    height, width = image.shape[1:]
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    total = np.zeros((image.shape[0], *y.shape), image.dtype)
    for dy, dx in product((0, 1), (0, 1)):
        row, column = top + dy, left + dx
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = (1 - np.abs(y - row)) * (1 - np.abs(x - column)) * inside
        total += image[:, row.clip(0, height - 1), column.clip(0, width - 1)] * share
    return total


class BinaryConvolution(Op, frozen=True):
    """data N,I,x…   filters of single bits O,I,k…   ->   N,O,y…"""

    window: Window
    mode: str = "xnor-popcount"
    pad_value: float = 0.0

    def infer(self, data: Fact, filters: Fact) -> Fact:
        if filters.shape is None:
            return Fact(data.dtype, _same_rank(data))
        out, into, *kernel = filters.shape
        _check_channels(data, into)
        return Fact(data.dtype, _slid(self.window, data, out, kernel))


def _check_types(op: Op, data: Fact, filters: Fact) -> None:
    if data.dtype is not filters.dtype:
        raise ValueError(f"{type(op).__name__} of {data} and {filters}: the element types differ")
    if data.rank not in {None, 3, 4, 5}:
        raise ValueError(f"{type(op).__name__} of {data}: data of one to three axes behind the channels expected")


def _check_channels(data: Fact, wanted: Dim) -> None:
    if data.shape is not None and len(data.shape) > 1 and decide_equal(data.shape[1], wanted) is False:
        raise ValueError(f"the data {data} has {data.shape[1]} channels, the filters take {wanted}")


def _same_rank(data: Fact) -> Shape | None:
    return None if data.shape is None else (data.shape[0], *(UNKNOWN,) * (len(data.shape) - 1))


def _extents(data: Fact, kernel: list[Dim]) -> tuple[Dim, Shape]:
    """The batch and the spatial extents of the data, as far as they are known."""
    if data.shape is None:
        return UNKNOWN, (UNKNOWN,) * len(kernel)
    if len(data.shape) != 2 + len(kernel):
        raise ValueError(f"the kernel has {len(kernel)} axes, the data is {data}")
    return data.shape[0], data.shape[2:]


def _slid(window: Window, data: Fact, out: Dim, kernel: list[Dim]) -> Shape:
    batch, extents = _extents(data, kernel)
    return batch, out, *_slid_extents(window, extents, tuple(kernel))


@lru_cache(4096)  # the layers of a model repeat each other
def _slid_extents(window: Window, extents: Shape, kernel: Shape) -> Shape:
    window.check(len(kernel))
    return tuple([window.slide(i, x, k) for i, (x, k) in enumerate(zip(extents, kernel, strict=True))])


def _unslid(op: Backprop, data: Fact, out: Dim, kernel: list[Dim], output_shape: Fact | None) -> Shape:
    op.window.check(len(kernel))
    batch, extents = _extents(data, kernel)
    if output_shape is not None:
        return batch, out, *(output_shape.elements or (UNKNOWN,) * len(kernel))
    more = op.output_padding or (0,) * len(kernel)
    return (
        batch,
        out,
        *(op.window.unslide(i, x, k) + p for i, (x, k, p) in enumerate(zip(extents, kernel, more, strict=True))),
    )


def _convolve(window: Window, data: Array, filters: Array) -> Array:
    n = data.ndim - 2
    wide = np.result_type(data.dtype, np.float32) if data.dtype.kind not in "iu" else data.dtype
    patches = window.patches(data.astype(wide, copy=False), filters.shape[2:])
    y = np.tensordot(patches, filters.astype(wide), axes=([1, *range(2 + n, 2 + 2 * n)], range(1, 2 + n)))
    return np.moveaxis(y, -1, 1).astype(data.dtype, copy=False)


def _scatter(op: Backprop, data: Array, filters: Array, output_shape: Array | None) -> Array:
    """Every element of ``data`` adds its multiple of the kernel to the output."""
    window = op.window
    n = data.ndim - 2
    kernel = filters.shape[2:]
    reach = [window.dilations[i] * (kernel[i] - 1) + 1 for i in range(n)]
    full = [(data.shape[2 + i] - 1) * window.strides[i] + reach[i] for i in range(n)]
    y: Array = np.zeros((data.shape[0], filters.shape[1], *full), data.dtype)
    for tap in np.ndindex(*kernel):
        part = np.tensordot(data, filters[(..., *tap)], axes=(1, 0))
        y[(..., *_strided(window, tap, data.shape[2:]))] += np.moveaxis(part, -1, 1)
    for i, (begin, extent) in enumerate(_crop(op, full, output_shape)):
        y = np.pad(y, [(0, 0)] * (2 + i) + [(0, max(begin + extent - full[i], 0))] + [(0, 0)] * (n - 1 - i))
        y = np.take(y, range(begin, begin + extent), 2 + i)
    return y


def _strided(window: Window, tap: Ints, extents: Ints) -> Iterator[Any]:
    for i, extent in enumerate(extents):
        start = tap[i] * window.dilations[i]
        yield slice(start, start + (extent - 1) * window.strides[i] + 1, window.strides[i])


def _crop(op: Backprop, full: list[int], output_shape: Array | None) -> Iterator[tuple[int, int]]:
    """Where the output begins in all that the kernels reach, and its extent, for each axis."""
    window, more = op.window, op.output_padding
    for i, extent in enumerate(full):
        if output_shape is not None and window.auto_pad.is_same:
            wanted = int(output_shape[i])
            total = max(extent + (more[i] if more else 0) - wanted, 0)
            yield (total // 2 if window.auto_pad is Padding.SAME_LOWER else total - total // 2), wanted
        else:
            explicit = window.auto_pad is Padding.EXPLICIT
            begin, end = (window.pads_begin[i], window.pads_end[i]) if explicit else (0, 0)
            wanted = extent - begin - end + (more[i] if more else 0)
            yield begin, wanted if output_shape is None else int(output_shape[i])
