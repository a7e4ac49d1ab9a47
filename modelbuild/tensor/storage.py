"""Where the content of a constant lies, and how it is read without holding it.

A tensor is immutable content of a static shape: an array (``InMemory``), bytes of a file (``Mapped``), or derived from
another tensor (``Cast``, ``Transposed``, ``Reshaped``, ``Scaled``, and ``Quantized`` in a file of its own: a closed
vocabulary, see ``DERIVATIONS``). Its bytes, in the layout of an IR's weights file, come in pieces; nothing keeps them.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from modelbuild.errors import SourceError
from modelbuild.tensor.cast import Caster
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.packing import pack, pack_strings, unpack
from modelbuild.tensor.pieces import PIECE, boxes, elements_in, twins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

DERIVATIONS: Final = 1
"""The version of the derived tensors' meaning: it changes when one of them gives other bytes."""

SLAB: Final = 32 << 20
"""Bytes of a transposed tensor that are gathered in one pass over its source."""

NARROW: Final = 32
"""Rows of fewer elements are multiplied all at once: numpy takes its time for each row."""


class Tensor(ABC):
    """Immutable content with an element type and a static shape.

    Two tensors are equal when they are described alike (the same file range, the same array content, the same
    derivation of equal tensors); content that is equal by chance is found by ``digest``.
    """

    __slots__ = ("_digest",)
    if TYPE_CHECKING:
        _digest: str

        @property
        def dtype(self) -> ElementType: ...
        @property
        def shape(self) -> Ints: ...

    @abstractmethod
    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        """Yield the bytes in pieces of whole elements, about ``limit`` bytes each.

        A piece is valid until the one after the next is asked for: they share two buffers, so that one can be written
        while the other is made.
        """

    @property
    def sources(self) -> tuple[Tensor, ...]:
        """What this is derived from; nothing where content lies."""
        return ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.dtype.nbytes(self.size)

    @property
    def digest(self) -> str:
        """Sha256 of the bytes, in hex."""
        try:
            return self._digest
        except AttributeError:
            sha = hashlib.sha256()
            for piece in self.chunks():
                sha.update(piece)
            object.__setattr__(self, "_digest", sha.hexdigest())
            return self._digest

    def known_as(self, digest: str) -> Self:
        """Note the digest of the content, where somebody has read it before; returns the tensor itself."""
        object.__setattr__(self, "_digest", digest)
        return self

    def octets(self) -> bytes:
        """Give all bytes at once: of what is small."""
        return b"".join(map(bytes, self.chunks()))

    def numpy(self) -> Array:
        """Give the whole content, one element a byte where the type is smaller; read-only."""
        octets = np.empty(self.nbytes, np.uint8)
        filled = 0
        for piece in self.chunks():
            octets[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        array = unpack(octets, self.dtype, self.size).reshape(self.shape)
        array.flags.writeable = False
        return array

    def arrays(self, limit: int = PIECE) -> Iterator[Array]:
        """Yield the elements as flat arrays, one element a byte where the type is smaller; valid until the next."""
        left = self.size
        for piece in self.chunks(limit):
            octets = np.frombuffer(piece, np.uint8)
            elements = unpack(octets, self.dtype, min(left, octets.size * 8 // self.dtype.bits))
            left -= elements.size
            yield elements


@cache
def _held_as(given: np.dtype[Any]) -> tuple[ElementType, np.dtype[Any]]:
    dtype = ElementType.of(given.newbyteorder("<") if given.byteorder == ">" else given)
    return dtype, dtype.numpy


@dataclass(frozen=True, slots=True, eq=False, init=False)
class InMemory(Tensor):
    """Content held as an array, which the giver must not change any more.

    The array is made C-ordered and little-endian; strings are an object array of ``str``.
    """

    array: Array
    dtype: ElementType
    shape: Ints

    def __init__(self, array: Array) -> None:
        dtype, stored = _held_as(array.dtype)
        array = np.asarray(array, stored, order="C")
        if stored.hasobject and not all(isinstance(text, str) for text in array.flat):
            raise TypeError("a string tensor holds str only")
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "shape", array.shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InMemory):
            return NotImplemented
        if self.array is other.array:
            return True
        if (self.dtype, self.shape) != (other.dtype, other.shape):
            return False
        if self.dtype is ElementType.string:
            return bool((self.array == other.array).all())
        return bool((self._flat().view(np.uint8) == other._flat().view(np.uint8)).all())

    def __hash__(self) -> int:
        first = self._flat()[:8]
        return hash((self.dtype, self.shape, tuple(first) if self.dtype is ElementType.string else first.tobytes()))

    @property
    def nbytes(self) -> int:
        if self.dtype is ElementType.string:
            return len(self.octets())
        return self.dtype.nbytes(self.array.size)

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        if self.dtype is ElementType.string:
            blob = memoryview(self.octets())
            yield from (blob[at : at + limit] for at in range(0, len(blob), limit))
            return
        flat, step = self._flat(), elements_in(self.dtype, limit)
        for at in range(0, flat.size, step):
            yield pack(flat[at : at + step], self.dtype).data

    def arrays(self, limit: int = PIECE) -> Iterator[Array]:
        flat, step = self._flat(), elements_in(self.dtype, limit)
        for at in range(0, flat.size, step):
            yield flat[at : at + step]

    def octets(self) -> bytes:
        if self.dtype is ElementType.string:
            return pack_strings(self.array.flat)
        return pack(self._flat(), self.dtype).tobytes() if self.dtype.bits < 8 else self.array.tobytes()

    def numpy(self) -> Array:
        return self.array

    def _flat(self) -> Array:
        return self.array.reshape(-1)


@dataclass(frozen=True, slots=True)
class Mapped(Tensor):
    """Bytes of a file, already in the layout of an IR.

    They are read, not mapped into memory: pages of a map count as memory once they are touched.
    """

    path: Path
    offset: int
    dtype: ElementType
    shape: Ints

    def __post_init__(self) -> None:
        if not self.dtype.bits:
            raise ValueError(f"a {self.dtype} tensor has no fixed width to be read by")

    def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
        if not self.nbytes:
            return
        step = min(self.nbytes, self.dtype.nbytes(elements_in(self.dtype, limit)))
        buffers = twins(step, np.dtype(np.uint8))
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be opened: {error.strerror}") from error
        with file:
            end = self.offset + self.nbytes
            for start in range(self.offset, end, step):
                piece = next(buffers)[: min(step, end - start)].data
                _fill(piece, file, start, self.path)
                yield piece


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


def _fill(piece: memoryview, file: FileIO, start: int, path: Path) -> None:
    """Read all of ``piece`` from ``start`` on; one read may give less than it is asked for."""
    filled = 0
    while filled < len(piece):
        got = os.preadv(file.fileno(), [piece[filled:]], start + filled)
        if not got:
            raise SourceError(
                f"{path}: the file ends at {start + filled}, but {len(piece)} bytes were expected at {start}: "
                "it was cut or changed while it was read"
            )
        filled += got
