"""The weights file of an IR: constants back to back, the same bytes once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import xxhash

from modelbuild.errors import BrokenInvariant
from modelbuild.tensor.storage import PIECE, Tensor

SHORT = 256
"""Contents up to this size are remembered as they are; of longer ones, a hash of so many bytes at their start."""

WORTH_A_THREAD = 1 << 18
"""Pieces of at least so many bytes are written while the next one is made."""

TINY, WORD = 64, 8
"""Of contents up to so many bytes the parts are remembered too, in steps of an i64."""

NOTHING = b"\0"
"""What stands for a tensor without elements: a constant of the IR has at least one byte."""


class Place(NamedTuple):
    """Where a constant lies in the file, in bytes."""

    offset: int
    size: int


class Weights:
    """Lays tensors into a file, which must be empty and open for reading too.

    Constants share bytes whatever their element types and whichever body they stand in. Nothing is hashed but the
    starts of long tensors, unless two are of one size and start alike; and bytes are compared before they are shared.
    """

    def __init__(self, file: BinaryIO, *, digest: bool) -> None:
        self.size = 0
        self._followed = 0
        self._file = file
        self._writer = _Writer(file)
        self._short: dict[bytes, Place] = {}
        self._described: dict[Tensor, Place] = {}
        self._begins: dict[tuple[int, bytes], list[Place]] = {}
        self._hashes: dict[Place, bytes] = {}
        self._digester = _Digester(file.fileno()) if digest else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.stop()
        if self._digester:
            self._digester.stop()

    def finish(self) -> str:
        """Have all of it in the file; give its sha256 in hex, empty if nobody asked for it."""
        self._writer.flush()
        if self._digester:
            self._digester.follow(self.size)
        return self._digester.hexdigest() if self._digester else ""

    def place(self, tensor: Tensor) -> Place:
        """Where ``tensor`` lies; it is written unless its bytes are there already."""
        size = tensor.nbytes
        if size > SHORT:
            place = self._described.get(tensor)
            if place is None:
                place = self._described[tensor] = self._place_long(tensor, size)
            return place
        content = b"".join(tensor.chunks()) or NOTHING
        place = self._short.get(content)
        if place is None:
            place = self._append([memoryview(content)], max(size, len(NOTHING)))
            self._remember(content, place)
        return place

    def _remember(self, content: bytes, place: Place) -> None:
        """Note ``content``, and the parts of a list of integers: an axis lies in a list of axes."""
        self._short[content] = place
        if len(content) <= TINY:
            for begin in range(0, len(content), WORD):
                for end in range(begin + WORD, len(content) + 1, WORD):
                    self._short.setdefault(content[begin:end], Place(place.offset + begin, end - begin))

    def _place_long(self, tensor: Tensor, size: int) -> Place:
        pieces = iter(tensor.chunks())
        first = next(pieces)
        alike = self._begins.setdefault((size, xxhash.xxh3_128_digest(first[:SHORT])), [])
        if alike and (twin := self._twin(tensor, alike)):
            return twin
        place = self._append(chain([first], pieces), size)
        alike.append(place)
        return place

    def _twin(self, tensor: Tensor, alike: Iterable[Place]) -> Place | None:
        """The one of ``alike`` that holds the bytes of ``tensor``."""
        self._writer.flush()
        hash_ = _hash(tensor.chunks())
        return next((p for p in alike if self._hash_at(p) == hash_ and self._holds(p, tensor)), None)

    def _hash_at(self, place: Place) -> bytes:
        if place not in self._hashes:
            self._hashes[place] = _hash(_read(self._file.fileno(), place.offset, place.size))
        return self._hashes[place]

    def _holds(self, place: Place, tensor: Tensor) -> bool:
        at = place.offset
        for piece in tensor.chunks():
            # Bytes, because views compare element by element.
            if b"".join(_read(self._file.fileno(), at, len(piece))) != bytes(piece):
                return False
            at += len(piece)
        return True

    def _append(self, pieces: Iterable[memoryview], size: int) -> Place:
        place = Place(self.size, size)
        for piece in pieces:
            self._writer.write(piece)
            self.size += len(piece)
            if self._digester and self.size - self._followed >= PIECE:
                self._writer.flush()
                self._digester.follow(self.size)
                self._followed = self.size
        if self.size != place.offset + size:
            raise BrokenInvariant(f"a tensor of {size} bytes gave {self.size - place.offset}")
        return place


class _Writer:
    """Writes in a second thread, one piece behind whoever makes them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[int] | None = None

    def write(self, piece: memoryview) -> None:
        """Append ``piece``, which must stay as it is until the piece after the next one is made."""
        self._settle()
        if len(piece) < WORTH_A_THREAD:
            self._file.write(piece)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "write")
        self._writing = self._thread.submit(self._file.write, piece)

    def flush(self) -> None:
        self._settle()
        self._file.flush()

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def _settle(self) -> None:
        """Wait for the piece that is being written; raises what became of it."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None


class _Digester:
    """Hashes a file in a second thread, behind whoever writes it: what was just written is read from memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sha = hashlib.sha256()
        self._read = 0
        self._thread = ThreadPoolExecutor(1, "digest")
        self._last: Future[None] = self._thread.submit(self._advance, 0)

    def follow(self, end: int) -> None:
        """Hash what the file holds up to ``end``."""
        self._last = self._thread.submit(self._advance, end)

    def hexdigest(self) -> str:
        """The digest of all that was followed; waits for it."""
        self._last.result()
        return self._sha.hexdigest()

    def stop(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _advance(self, end: int) -> None:
        for piece in _read(self._descriptor, self._read, end - self._read):
            self._sha.update(piece)
            self._read += len(piece)


def _read(descriptor: int, offset: int, size: int) -> Iterable[memoryview]:
    """Bytes of a file in pieces that are valid only until the next."""
    buffer = memoryview(bytearray(min(size, PIECE)))
    end = offset + size
    while offset < end:
        got = os.preadv(descriptor, [buffer[: end - offset]], offset)
        if not got:
            raise BrokenInvariant(f"the weights end at {offset}, {end - offset} bytes too early")
        yield buffer[:got]
        offset += got


def _hash(pieces: Iterable[memoryview]) -> bytes:
    hash_ = xxhash.xxh3_128()
    for piece in pieces:
        hash_.update(piece)
    return hash_.digest()
