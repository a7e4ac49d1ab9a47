"""Real numbers as small integers in steps of a scale: the numbers' extent, and the integers, both streamed.

Numbers that share a scale are said by shapes: scales have the tensor's axes, each in full or of extent one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.packing import pack
from modelbuild.tensor.pieces import GLANCE, PIECE, boxes, elements_in, twins
from modelbuild.tensor.storage import InMemory, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

RANGES = {
    ElementType.i8: (-128, 127),
    ElementType.u8: (0, 255),
    ElementType.i4: (-8, 7),
    ElementType.u4: (0, 15),
}
"""The integers that there are, by their type."""


@dataclass(frozen=True, slots=True)
class Quantized(Tensor):
    """``number / scale + zero point``, rounded to the nearest (ties to even) that ``dtype`` has.

    Scales are not zero; a NaN becomes the least integer.
    """

    source: Tensor
    dtype: ElementType
    scales: InMemory
    zero_points: InMemory | None = None
    shape: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.source.shape
        if self.dtype not in RANGES or self.source.dtype is not ElementType.f32 or not self.scales.dtype.is_real:
            raise ValueError(f"{self.source.dtype} in steps of {self.scales.dtype} cannot be quantized to {self.dtype}")
        if not _shares(self.scales.shape, shape):
            raise ValueError(f"scales {self.scales.shape} do not fit {shape}")
        if self.zero_points is not None and self.zero_points.shape != self.scales.shape:
            raise ValueError(f"zero points {self.zero_points.shape} are not one a scale: {self.scales.shape}")
        object.__setattr__(self, "shape", shape)

    @property
    def sources(self) -> tuple[Tensor, ...]:
        shared = (self.scales,) if self.zero_points is None else (self.scales, self.zero_points)
        return (*shared, self.source)

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        shape, shared = joined(self.shape, self.scales.shape)
        steps = 1 / self.scales.array.astype(np.float32).reshape(shared)
        zeros = None if self.zero_points is None else self.zero_points.array.astype(np.float32).reshape(shared)
        count = min(self.size, elements_in(self.dtype, limit), elements_in(self.source.dtype, GLANCE))
        real = np.empty(count, np.float32)
        # numpy compares two arrays at more than twice the speed of an array and a number.
        least, most = (np.full(count, end, np.float32) for end in RANGES[self.dtype])
        buffers = twins(count, np.dtype(np.int8 if self.dtype.is_signed_integer else np.uint8))
        for at, elements in _placed(self.source, self.source.dtype.nbytes(count)):
            near, out = real[: elements.size], next(buffers)[: elements.size]
            for block, target, place in _blocks(shape, shared, at, elements, near):
                np.multiply(block, steps[place], out=target)
                if zeros is not None:
                    np.add(target, zeros[place], out=target)
            np.rint(near, out=near)
            np.fmax(near, least[: near.size], out=near)
            np.fmin(near, most[: near.size], out=near)
            np.copyto(out, near, casting="unsafe")
            yield pack(out.view(self.dtype.numpy), self.dtype).data


def extremes(tensor: Tensor, shape: Ints) -> tuple[Array, Array]:
    """The least and the greatest of the numbers that share an element of ``shape``; NaN where one of them is."""
    if not _shares(shape, tensor.shape) or not tensor.size:
        raise ValueError(f"{tensor.shape} has no extremes by {shape}")
    inner, shared = joined(tensor.shape, shape)
    least, most = np.full(shared, np.inf, tensor.dtype.numpy), np.full(shared, -np.inf, tensor.dtype.numpy)
    axes = tuple(axis for axis, extent in enumerate(shared) if extent == 1)
    for at, elements in _placed(tensor, GLANCE):
        for block, _, place in _blocks(inner, shared, at, elements, elements):
            np.minimum(least[place], block.min(axes, keepdims=True), out=least[place])
            np.maximum(most[place], block.max(axes, keepdims=True), out=most[place])
    return least.reshape(shape), most.reshape(shape)


def joined(shape: Ints, shared: Ints) -> tuple[Ints, Ints]:
    """Both with fewer axes: neighbours that are both shared, or both not, are one; loops over them are longer then."""
    axes: list[tuple[int, int]] = []
    for extent, own in zip(shape, shared, strict=True):
        if extent == 1:
            continue
        if axes and (axes[-1][1] == 1) == (own == 1):
            axes[-1] = (axes[-1][0] * extent, axes[-1][1] * own)
        else:
            axes.append((extent, own))
    return tuple(extent for extent, _ in axes), tuple(own for _, own in axes)


def _shares(shared: Ints, shape: Ints) -> bool:
    return len(shared) == len(shape) and all(own in {1, extent} for own, extent in zip(shared, shape, strict=True))


def _placed(tensor: Tensor, limit: int) -> Iterator[tuple[int, Array]]:
    """The elements of a tensor in pieces, each with how many come before it."""
    at = 0
    for elements in tensor.arrays(limit):
        yield at, elements
        at += elements.size


def _blocks(
    shape: Ints, shared: Ints, at: int, elements: Array, twin: Array
) -> Iterator[tuple[Array, Array, tuple[slice, ...]]]:
    """Cut elements from ``at`` on, and their twins, into blocks of ``shape``; with their part of ``shared``."""
    begin = 0
    for box in boxes(shape, at, at + elements.size):
        extents = [cut.stop - cut.start for cut in box]
        end = begin + math.prod(extents)
        place = tuple(slice(None) if own == 1 else cut for cut, own in zip(box, shared, strict=True))
        yield elements[begin:end].reshape(extents), twin[begin:end].reshape(extents), place
        begin = end
