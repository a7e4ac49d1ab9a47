"""Moves of elements between axes: blocks, groups, patches, reversals."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axes_of, axis_of, known_axes, length, possible, unknown
from modelbuild.tensor.dtype import Array, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, decide_equal


class Transpose(Op, frozen=True):
    """The axes in another order; an empty order reverses them."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, order: Fact) -> Fact:
        if data.shape is None:
            count = length(order)
            return Fact(data.dtype, unknown(count or None))
        rank = len(data.shape)
        axes = tuple(range(rank))[::-1] if length(order) == 0 else known_axes(order, rank)
        if axes is None:
            return Fact(data.dtype, unknown(rank))
        if len(axes) != rank:
            raise ValueError(f"the order {list(axes)} is none for {data}")
        return Fact(data.dtype, tuple(data.shape[a] for a in axes))

    def evaluate(self, data: Array, order: Array) -> Array:
        return np.transpose(data, order.tolist() or None)


class DepthToSpace(Op, frozen=True):
    """Blocks of channels become blocks of positions; ``blocks_first`` has the block's place before the channel."""

    block_size: int
    mode: str = "blocks_first"

    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return data
        _expect_channels(data)
        batch, channels, *extents = data.shape
        return Fact(
            data.dtype,
            (batch, _divided(channels, self.block_size ** len(extents), data), *(d * self.block_size for d in extents)),
        )

    def evaluate(self, data: Array) -> Array:
        batch, channels, *extents = data.shape
        k, block = len(extents), self.block_size
        left = channels // block**k
        if self.mode == "blocks_first":
            parts = data.reshape(batch, *(block,) * k, left, *extents)
            order = [0, k + 1, *(a for i in range(k) for a in (k + 2 + i, 1 + i))]
        else:
            parts = data.reshape(batch, left, *(block,) * k, *extents)
            order = [0, 1, *(a for i in range(k) for a in (k + 2 + i, 2 + i))]
        return parts.transpose(order).reshape(batch, left, *(d * block for d in extents))


class SpaceToDepth(Op, frozen=True):
    """The way back from :class:`DepthToSpace`."""

    block_size: int
    mode: str = "blocks_first"

    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return data
        _expect_channels(data)
        batch, channels, *extents = data.shape
        made = (_divided(d, self.block_size, data) for d in extents)
        return Fact(data.dtype, (batch, channels * self.block_size ** len(extents), *made))

    def evaluate(self, data: Array) -> Array:
        batch, channels, *extents = data.shape
        k, block = len(extents), self.block_size
        parts = data.reshape(batch, channels, *(n for d in extents for n in (d // block, block)))
        within, places = [3 + 2 * i for i in range(k)], [2 + 2 * i for i in range(k)]
        order = [0, *within, 1, *places] if self.mode == "blocks_first" else [0, 1, *within, *places]
        return parts.transpose(order).reshape(batch, channels * block**k, *(d // block for d in extents))


class BatchToSpace(Op, frozen=True):
    """Inputs ``data, block, crops_begin, crops_end``, one number an axis: batches become blocks of positions."""

    version: ClassVar[str] = "opset2"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, block: Fact, begins: Fact, ends: Fact) -> Fact:
        numbers = block.ints, begins.ints, ends.ints
        if data.shape is None or None in numbers:
            return Fact(data.dtype, unknown(data.rank))
        sizes, before, after = _one_an_axis(data, block, begins, ends)
        batch = _divided(data.shape[0], math.prod(sizes), data)
        every = zip(data.shape[1:], sizes[1:], before[1:], after[1:], strict=True)
        return Fact(data.dtype, possible((batch, *(d * s - b - e for d, s, b, e in every))))

    def evaluate(self, data: Array, block: Array, begins: Array, ends: Array) -> Array:
        sizes = block.tolist()
        k = data.ndim
        parts = data.reshape(*sizes[1:], data.shape[0] // math.prod(sizes), *data.shape[1:])
        order = [k - 1, *(a for i in range(k - 1) for a in (k + i, i))]
        whole = parts.transpose(order).reshape(-1, *(d * s for d, s in zip(data.shape[1:], sizes[1:], strict=True)))
        return whole[tuple(slice(b, n - e) for b, n, e in zip(begins, whole.shape, ends, strict=True))]


class SpaceToBatch(Op, frozen=True):
    """Inputs ``data, block, pads_begin, pads_end``, one number an axis: blocks of positions become batches."""

    version: ClassVar[str] = "opset2"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, block: Fact, begins: Fact, ends: Fact) -> Fact:
        numbers = block.ints, begins.ints, ends.ints
        if data.shape is None or None in numbers:
            return Fact(data.dtype, unknown(data.rank))
        sizes, before, after = _one_an_axis(data, block, begins, ends)
        every = zip(data.shape[1:], sizes[1:], before[1:], after[1:], strict=True)
        made = (_divided(b + d + e, s, data) for d, s, b, e in every)
        return Fact(data.dtype, possible((data.shape[0] * math.prod(sizes), *made)))

    def evaluate(self, data: Array, block: Array, begins: Array, ends: Array) -> Array:
        k, sizes = data.ndim, block.tolist()
        wide = np.pad(data, list(zip(begins.tolist(), ends.tolist(), strict=True)))
        places = [n // s for n, s in zip(wide.shape[1:], sizes[1:], strict=True)]
        parts = wide.reshape(data.shape[0], *(n for pair in zip(places, sizes[1:], strict=True) for n in pair))
        order = [*(2 + 2 * i for i in range(k - 1)), 0, *(1 + 2 * i for i in range(k - 1))]
        return parts.transpose(order).reshape(data.shape[0] * math.prod(sizes), *places)


class ShuffleChannels(Op, frozen=True):
    """The axis as ``group`` rows, read by columns."""

    axis: int = 1
    group: int = 1

    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> Fact:
        if data.shape is not None:
            _divided(data.shape[axis_of(self.axis, len(data.shape))], self.group, data)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array) -> Array:
        axis = axis_of(self.axis, data.ndim)
        parts = data.reshape(*data.shape[:axis], self.group, -1, *data.shape[axis + 1 :])
        return parts.swapaxes(axis, axis + 1).reshape(data.shape)


class ReverseSequence(Op, frozen=True):
    """The first ``lengths[b]`` elements of each sequence turned round."""

    batch_axis: int = 0
    seq_axis: int = 1

    exact: ClassVar[bool] = True

    def infer(self, data: Fact, lengths: Fact) -> Fact:
        axes = self.batch_axis, self.seq_axis
        if data.rank is not None:
            axes_of(axes, data.rank)
        elif min(axes) < 0:
            raise ValueError(f"axes {axes} of {data}: they can be counted from behind only where the rank is known")
        count = length(lengths)
        if data.shape is not None and count is not None and decide_equal(data.shape[self.batch_axis], count) is False:
            raise ValueError(f"{count} lengths for the axis {self.batch_axis} of {data}, one for each element expected")
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, lengths: Array) -> Array:
        made = data.copy()
        rows = np.moveaxis(made, (self.batch_axis, self.seq_axis), (0, 1))
        for row, count in zip(rows, lengths.reshape(-1).tolist(), strict=True):
            row[:count] = row[:count][::-1].copy()
        return made


class Roll(Op, frozen=True):
    """Elements shifted along axes; those that fall out come in at the other end."""

    version: ClassVar[str] = "opset7"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, shift: Fact, axes: Fact) -> Fact:
        if data.rank is not None:
            for axis in axes.ints or ():
                axis_of(axis, data.rank)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, shift: Array, axes: Array) -> Array:
        where = axes.reshape(-1).tolist()
        return np.roll(data, np.broadcast_to(shift.reshape(-1), len(where)).tolist(), where)


class ExtractImagePatches(Op, frozen=True):
    """Patches of an image, each as the channels of one position: row, then column, then channel."""

    sizes: Ints
    strides: Ints
    rates: Ints
    auto_pad: str = "valid"

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return Fact(data.dtype, unknown(4))
        numbers = (self.sizes, self.strides, self.rates)
        if len(data.shape) != 4 or any(len(n) != 2 or min(n) < 1 for n in numbers):
            raise ValueError(f"sizes, strides and rates {numbers} of patches of {data}")
        batch, channels, *extents = data.shape
        places = possible(tuple(self._places(i, d) for i, d in enumerate(extents)))
        return Fact(data.dtype, (batch, channels * math.prod(self.sizes), *places))

    def _places(self, axis: int, extent: Dim) -> Dim:
        if self.auto_pad == "valid":
            extent = extent - self._reach(axis) + 1
        return (extent + self.strides[axis] - 1) // self.strides[axis]

    def _reach(self, axis: int) -> int:
        return (self.sizes[axis] - 1) * self.rates[axis] + 1

    def evaluate(self, data: Array) -> Array:
        places = [int(self._places(i, d)) for i, d in enumerate(data.shape[2:])]  # type: ignore[arg-type]
        pads = [self._pads(i, d, p) for i, (d, p) in enumerate(zip(data.shape[2:], places, strict=True))]
        wide = np.pad(data, [(0, 0), (0, 0), *pads])
        rows = []
        for y, x in np.ndindex(*self.sizes):
            spans = [
                slice(at * rate, at * rate + (count - 1) * stride + 1, stride)
                for at, rate, count, stride in zip((y, x), self.rates, places, self.strides, strict=True)
            ]
            rows.append(wide[:, :, spans[0], spans[1]])
        return np.concatenate(rows, 1)

    def _pads(self, axis: int, extent: int, places: int) -> tuple[int, int]:
        if self.auto_pad == "valid":
            return 0, 0
        total = max((places - 1) * self.strides[axis] + self._reach(axis) - extent, 0)
        small, big = total // 2, total - total // 2
        return (small, big) if self.auto_pad == "same_upper" else (big, small)


class Col2Im(Op, frozen=True):
    """Columns of patches added up to images: inputs ``data, output_size, kernel_size``, two numbers each."""

    strides: Ints
    dilations: Ints
    pads_begin: Ints
    pads_end: Ints

    version: ClassVar[str] = "opset15"

    def infer(self, data: Fact, size: Fact, kernel: Fact) -> Fact:
        if any(len(numbers) != 2 for numbers in (self.strides, self.dilations, self.pads_begin, self.pads_end)):
            raise ValueError(f"{self}: two numbers for each expected")
        if data.shape is None:
            return Fact(data.dtype)
        if (
            len(data.shape) not in {2, 3}
            or size.static_shape not in {None, (2,)}
            or kernel.static_shape not in {None, (2,)}
        ):
            raise ValueError(f"columns {data} of patches {kernel} for images {size}")
        *batch, rows, _ = data.shape
        channels = UNKNOWN if kernel.ints is None else _divided(rows, math.prod(kernel.ints), data)
        return Fact(data.dtype, possible((*batch, channels, *(size.elements or (UNKNOWN, UNKNOWN)))))

    def evaluate(self, data: Array, size: Array, kernel: Array) -> Array:
        height, width = size.tolist()
        kernels = kernel.tolist()
        extents = [n + b + e for n, b, e in zip((height, width), self.pads_begin, self.pads_end, strict=True)]
        places = [
            (n - (k - 1) * d - 1) // s + 1
            for n, k, d, s in zip(extents, kernels, self.dilations, self.strides, strict=True)
        ]
        channels = data.shape[-2] // math.prod(kernels)
        patches = data.reshape(*data.shape[:-2], channels, *kernels, *places)
        image = np.zeros((*data.shape[:-2], channels, *extents), data.dtype)
        for y, x in np.ndindex(*kernels):
            spans = [
                slice(at * d, at * d + (n - 1) * s + 1, s)
                for at, d, n, s in zip((y, x), self.dilations, places, self.strides, strict=True)
            ]
            image[..., spans[0], spans[1]] += patches[..., y, x, :, :]
        top, left = self.pads_begin
        return image[..., top : top + height, left : left + width]


def _expect_channels(data: Fact) -> None:
    if data.rank is not None and data.rank < 3:
        raise ValueError(f"{data} has no channels and positions")


def _one_an_axis(data: Fact, *lists: Fact) -> list[Ints]:
    """The content of lists of one number an axis; raises ``ValueError`` for other lengths."""
    found = [f.ints or () for f in lists]
    if not data.rank or any(len(numbers) != data.rank for numbers in found) or min(found[0]) < 1:
        raise ValueError(f"{found} for the axes of {data}")
    return found


def _divided(extent: Dim, parts: int, data: Fact) -> Dim:
    if parts < 1 or (isinstance(extent, int) and extent % parts):
        raise ValueError(f"an axis of {extent} of {data} does not come in parts of {parts}")
    return extent // parts
