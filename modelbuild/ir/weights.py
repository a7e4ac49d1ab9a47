"""The weights file of an IR: constants back to back, the same bytes once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import xxhash

from modelbuild.errors import BrokenInvariant
from modelbuild.tensor.pieces import PIECE
from modelbuild.tensor.storage import Tensor

SHORT = 256
"""Contents up to this size are remembered as they are; of longer ones, a hash of so many bytes at their start."""

WORTH_A_THREAD = 1 << 18
"""Pieces of at least so many bytes are written while the next one is made."""

TINY, WORD = 64, 4
"""Of contents up to so many bytes the parts are remembered too, in steps of an i32."""

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
        self._file = file
        self._sha = hashlib.sha256() if digest else None
        self._writer = _Writer(file, self._sha)
        self._short = _Short()
        self._described: dict[Tensor, Place] = {}
        self._begins: dict[tuple[int, bytes], list[Place]] = {}
        self._hashes: dict[Place, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.stop()

    def finish(self) -> str:
        """Have all of it in the file; give its sha256 in hex, empty if nobody asked for it."""
        self._writer.flush()
        return self._sha.hexdigest() if self._sha else ""

    def place(self, tensor: Tensor) -> Place:
        """Where ``tensor`` lies; it is written unless its bytes are there already."""
        size = tensor.nbytes
        if size > SHORT:
            place = self._described.get(tensor)
            if place is None:
                place = self._described[tensor] = self._place_long(tensor, size)
            return place
        content = tensor.octets() or NOTHING
        offset = self._short.find(content)
        if offset is not None:
            return Place(offset, len(content))
        place = self._append([memoryview(content)], max(size, len(NOTHING)))
        self._short.note(content, place.offset)
        return place

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
        self._writer.expect(size)
        for piece in pieces:
            self._writer.write(piece)
            self.size += len(piece)
        if self.size != place.offset + size:
            raise BrokenInvariant(f"a tensor of {size} bytes gave {self.size - place.offset}")
        return place


class _Short:
    """Where short contents lie, and the parts of tiny ones: an axis lies in a list of axes.

    Tiny ones are cut only into parts as long as one that was looked for: there are too many parts to note them all.
    """

    def __init__(self) -> None:
        self._wholes: dict[bytes, int] = {}
        self._parts: dict[bytes, int] = {}
        self._tiny: list[tuple[bytes, int]] = []
        self._cut: dict[int, int] = {}
        """How many of the tiny ones are cut into parts of a length."""

    def find(self, content: bytes) -> int | None:
        """The offset of the first that is, or holds, ``content``."""
        found = self._wholes.get(content)
        if found is None and len(content) <= TINY and len(content) % WORD == 0:
            self._cut_tiny(len(content))
            found = self._parts.get(content)
        return found

    def note(self, content: bytes, offset: int) -> None:
        self._wholes[content] = offset
        if len(content) <= TINY:
            self._tiny.append((content, offset))

    def _cut_tiny(self, length: int) -> None:
        for content, offset in self._tiny[self._cut.get(length, 0) :]:
            for begin in range(0, len(content) - length + 1, WORD):
                self._parts.setdefault(content[begin : begin + length], offset + begin)
        self._cut[length] = len(self._tiny)


class _Writer:
    """Appends to a file, and to a hash, in a second thread: one piece behind whoever makes them.

    Short pieces are gathered first.

    Blocks are claimed before they are written. Left to itself ext4 looks for them when a file takes the place of
    another, and starts to write them all: that rename took as long as everything else.
    """

    def __init__(self, file: BinaryIO, sha: hashlib._Hash | None) -> None:
        self._descriptor = file.fileno()
        self._sha = sha
        self._gathered = bytearray()
        self._end = 0
        self._claimed = 0
        self._thread: Thread | None = None
        self._given: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._written: SimpleQueue[BaseException | None] = SimpleQueue()
        self._is_writing = False

    def expect(self, size: int) -> None:
        """Claim the room of the next ``size`` bytes, if they are worth it."""
        if size >= WORTH_A_THREAD:
            self._claim(self._end + len(self._gathered) + size)

    def write(self, piece: memoryview) -> None:
        """Append ``piece``, which must stay as it is until the piece after the next one is made."""
        if len(piece) >= WORTH_A_THREAD:
            self.flush()
        else:
            self._gathered += piece
            if len(self._gathered) < WORTH_A_THREAD:
                return
            piece, self._gathered = memoryview(self._gathered), bytearray()
            self._claim(self._end + len(piece))
            self._wait()
        self._give(piece)

    def flush(self) -> None:
        """Have all of it in the file; raises what became of the piece that was being written."""
        self._wait()
        if self._gathered:
            self._claim(self._end + len(self._gathered))
            self._put(memoryview(self._gathered), self._end)
            self._end += len(self._gathered)
            self._gathered = bytearray()

    def _give(self, piece: memoryview) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._work, name="write")
            self._thread.start()
        self._given.put((piece, self._end))
        self._is_writing = True
        self._end += len(piece)

    def _wait(self) -> None:
        if self._is_writing:
            self._is_writing = False
            if (error := self._written.get()) is not None:
                raise error

    def stop(self) -> None:
        if self._thread is not None:
            self._given.put(None)
            self._thread.join()

    def _work(self) -> None:
        """Write what is given, until nothing more is; say of each piece what became of it."""
        while (given := self._given.get()) is not None:
            try:
                self._put(*given)
                self._written.put(None)
            except BaseException as error:  # it is raised where it is waited for
                self._written.put(error)

    def _claim(self, end: int) -> None:
        if end > self._claimed:
            os.posix_fallocate(self._descriptor, self._claimed, end - self._claimed)
            self._claimed = end

    def _put(self, piece: memoryview, at: int) -> None:
        """Write all of ``piece``; one write may take less than it is given."""
        if self._sha is not None:
            self._sha.update(piece)
        while piece:
            taken = os.pwrite(self._descriptor, piece, at)
            piece, at = piece[taken:], at + taken


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
