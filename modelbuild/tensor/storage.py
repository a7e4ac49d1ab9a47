"""Where the content of a constant lies, and how it is read without holding it.

A tensor is immutable content of a static shape: an array (``InMemory``), bytes of a file (``Mapped``), or derived from
another tensor (``derived``, ``quantized``). Its bytes, in the layout of an IR's weights file, come in pieces; nothing
keeps them.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.packing import pack, pack_strings, unpack
from modelbuild.tensor.pieces import PIECE, elements_in, twins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path


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
