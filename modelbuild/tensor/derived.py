"""Tensors that are made of another one while they are read: a closed vocabulary, which ``recipe`` spells.

``Quantized`` belongs to it and has a file of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from modelbuild.tensor.cast import Caster
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.packing import pack
from modelbuild.tensor.pieces import PIECE, boxes, elements_in, twins
from modelbuild.tensor.storage import InMemory, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

SLAB: Final = 32 << 20
"""Bytes of a transposed tensor that are gathered in one pass over its source."""

NARROW: Final = 32
"""Rows of fewer elements are multiplied all at once: numpy takes its time for each row."""

_caster = cache(Caster)  # a model has many casts, of few kinds


@dataclass(frozen=True, slots=True)
class Cast(Tensor):
    """Another element type; see ``Caster`` for what does not fit into it."""

    source: Tensor
    dtype: ElementType
    saturate: bool = True
    strict: bool = False
    shape: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.source.shape)
        self._caster()

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.source,)

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        cast = self._caster()
        step = min(elements_in(self.dtype, limit), elements_in(self.source.dtype, limit))
        buffers = twins(min(self.size, step), self.dtype.numpy)
        for elements in self.source.arrays(self.source.dtype.nbytes(step)):
            out = next(buffers)[: elements.size]
            cast.into(out, elements)
            yield pack(out, self.dtype).data

    def octets(self) -> bytes:
        return pack(self.numpy().reshape(-1), self.dtype).tobytes()

    def numpy(self) -> Array:
        out = np.empty(self.shape, self.dtype.numpy)
        self._caster().into(out.reshape(-1), self.source.numpy().reshape(-1))
        out.flags.writeable = False
        return out

    def _caster(self) -> Caster:
        return _caster(self.source.dtype, self.dtype, self.saturate, self.strict)


@dataclass(frozen=True, slots=True)
class Reshaped(Tensor):
    """The same elements in another shape."""

    source: Tensor
    shape: Ints
    dtype: ElementType = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if math.prod(self.shape) != self.source.size or min(self.shape, default=0) < 0:
            raise ValueError(f"cannot reshape {self.source.shape} to {self.shape}")
        object.__setattr__(self, "dtype", self.source.dtype)

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.source,)

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        return self.source.chunks(limit)

    def numpy(self) -> Array:
        return self.source.numpy().reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Scaled(Tensor):
    """Real numbers multiplied along one axis: by ``factors[i]`` at index ``i``, rounded to their own type.

    NaNs come out positive, quiet and without payload: which operand's survives a product depends on the processor.
    """

    source: Tensor
    factors: InMemory
    axis: int
    dtype: ElementType = field(init=False, compare=False, repr=False)
    shape: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.source.shape
        if not 0 <= self.axis < len(shape) or self.factors.shape != (shape[self.axis],):
            raise ValueError(f"{self.factors.shape} factors do not scale axis {self.axis} of {shape}")
        if self.factors.dtype is not self.source.dtype or not self.source.dtype.is_real:
            raise ValueError(f"{self.factors.dtype} factors do not scale {self.source.dtype}")
        object.__setattr__(self, "dtype", self.source.dtype)
        object.__setattr__(self, "shape", shape)

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.factors, self.source)

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        buffers = twins(min(self.size, elements_in(self.dtype, limit)), self.dtype.numpy)
        start = 0
        for elements in self.source.arrays(limit):
            out = next(buffers)[: elements.size]
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                self._multiply(elements, start, out)
            _quiet(out)
            start += elements.size
            yield pack(out, self.dtype).data

    @np.errstate(over="ignore", under="ignore", invalid="ignore")
    def numpy(self) -> Array:
        out = self.source.numpy() * self.factors.array.reshape(-1, *(1,) * (len(self.shape) - self.axis - 1))
        _quiet(out)
        out.flags.writeable = False
        return out

    def _multiply(self, elements: Array, start: int, out: Array) -> None:
        """Scale the elements from ``start`` on: the rest of a row, whole rows, and the beginning of one."""
        factors, inner = self.factors.array, math.prod(self.shape[self.axis + 1 :])
        row, skipped = divmod(start, inner)
        head = min((inner - skipped) % inner, elements.size)
        if head:
            np.multiply(elements[:head], factors[row % factors.size], out=out[:head])
            row += 1
        rows = (elements.size - head) // inner
        tail = head + rows * inner
        if rows:
            by_row = factors[np.arange(row, row + rows) % factors.size]
            spread = np.repeat(by_row, inner) if inner < NARROW else by_row[:, np.newaxis]
            shape = (rows * inner,) if inner < NARROW else (rows, inner)
            np.multiply(elements[head:tail].reshape(shape), spread, out=out[head:tail].reshape(shape))
        if tail < elements.size:
            np.multiply(elements[tail:], factors[(row + rows) % factors.size], out=out[tail:])


@dataclass(frozen=True, slots=True)
class Transposed(Tensor):
    """Axes in another order: axis ``i`` of the result is axis ``order[i]`` of the source.

    What fits into a piece is gathered at once; of what is larger, the source is read once for every ``SLAB`` bytes.
    """

    source: Tensor
    order: Ints
    dtype: ElementType = field(init=False, compare=False, repr=False)
    shape: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(len(self.source.shape))):
            raise ValueError(f"{self.order} does not order the axes of {self.source.shape}")
        if not self.source.dtype.bits:
            raise ValueError(f"a {self.source.dtype} tensor is transposed in memory")
        object.__setattr__(self, "dtype", self.source.dtype)
        object.__setattr__(self, "shape", tuple(self.source.shape[axis] for axis in self.order))

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.source,)

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        if 0 < self.nbytes <= limit:
            yield pack(self._turned().reshape(-1), self.dtype).data
            return
        step = elements_in(self.dtype, limit)
        for slab in self._slabs():
            flat = slab.reshape(-1)
            for at in range(0, flat.size, step):
                piece = flat[at : at + step]
                if at + step >= flat.size:  # the next one is made by gathering anew, while this may still be written
                    piece = piece.copy()
                yield pack(piece, self.dtype).data

    def numpy(self) -> Array:
        if self.nbytes > PIECE:
            return Tensor.numpy(self)  # `super` does not know a class with slots
        out = self._turned().copy()
        out.flags.writeable = False
        return out

    def _turned(self) -> Array:
        return self.source.numpy().transpose(self.order)

    def _slabs(self) -> Iterator[Array]:
        """Yield the result in ranges of its first axis that is longer than one, each in the place of the one before."""
        axes = [axis for axis in self.order if self.source.shape[axis] != 1]
        if not self.size or not axes:
            yield self.source.numpy()
            return
        lead, extent = axes[0], self.source.shape[axes[0]]
        row = self.size // extent
        rows = max(1, SLAB // (row * self.dtype.numpy.itemsize))
        # A slab of packed elements ends on a byte.
        rows = min(extent, -(-rows // 8) * 8 if self.dtype.bits < 8 else rows)
        buffer = np.empty(rows * row, self.dtype.numpy)
        for start in range(0, extent, rows):
            stop = min(start + rows, extent)
            slab = buffer[: (stop - start) * row].reshape(
                [stop - start if axis == lead else self.source.shape[axis] for axis in self.order]
            )
            self._gather(slab.transpose(np.argsort(self.order)), lead, start, stop)
            yield slab

    def _gather(self, view: Array, lead: int, start: int, stop: int) -> None:
        """Write elements with ``start <= index < stop`` on axis ``lead`` to ``view``, whose axes are the source's."""
        at = 0
        for elements in self.source.arrays():
            begin = at
            for box in boxes(self.source.shape, at, at + elements.size):
                extents = [cut.stop - cut.start for cut in box]
                block = elements[begin - at : begin - at + math.prod(extents)].reshape(extents)
                begin += block.size
                low, high = max(box[lead].start, start), min(box[lead].stop, stop)
                if low < high:
                    inside = [slice(None)] * len(box)
                    inside[lead] = slice(low - box[lead].start, high - box[lead].start)
                    target = list(box)
                    target[lead] = slice(low - start, high - start)
                    view[tuple(target)] = block[tuple(inside)]
            at += elements.size


def _quiet(numbers: Array) -> None:
    """Give every NaN its one form; the least number is one if any is."""
    if numbers.size and math.isnan(np.minimum.reduce(numbers, axis=None)):
        numbers[np.isnan(numbers)] = np.nan
