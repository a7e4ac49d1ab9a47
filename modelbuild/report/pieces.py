"""A long text, put together of pieces that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import xxhash

Piece: TypeAlias = bytes | memoryview


class Span(NamedTuple):
    """Where in a text something lies, in bytes."""

    offset: int
    size: int

    def of(self, text: memoryview) -> memoryview:
        return text[self.offset : self.offset + self.size]


class Pieces:
    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self.size = 0

    def add(self, piece: Piece) -> Span:
        """Says where it lies."""
        span = Span(self.size, len(piece))
        self._pieces.append(piece)
        self.size += len(piece)
        return span

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._pieces)

    def xxh3(self) -> str:
        tally = xxhash.xxh3_128()
        for piece in self._pieces:
            tally.update(piece)
        return tally.hexdigest()

    def whole(self) -> bytes:
        return b"".join(self._pieces)
