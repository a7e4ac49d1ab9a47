"""What a worker does, in memory that it shares with whoever asked it: known at once, and after its death too.

A message for each event would cost both sides a turn, which is more than a small stage takes.
"""

from __future__ import annotations

import fcntl
import os

import msgspec

from modelbuild.stages.event import Event

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_END_OF_PAGE = b"\f"  # no JSON holds one


class Diary:
    """A page an errand, a line an event. One process writes, another reads; each has its own of one ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = 0

    @classmethod
    def new(cls) -> Diary:
        descriptor = os.memfd_create("diary")
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
        return cls(descriptor)

    def fileno(self) -> int:
        return self._descriptor

    # ---- the writer ----

    def write(self, event: Event) -> None:
        os.write(self._descriptor, _ENCODER.encode(event) + b"\n")

    def end_page(self) -> None:
        os.write(self._descriptor, _END_OF_PAGE)

    # ---- the reader ----

    def news(self) -> list[Event]:
        """What was written on this page since the last call."""
        written = os.pread(self._descriptor, self.size - self._read, self._read)
        page, ended, _ = written.partition(_END_OF_PAGE)
        whole = page if ended else page[: page.rfind(b"\n") + 1]  # a line that a death cut short is none
        self._read += len(whole)
        return _DECODER.decode_lines(whole)

    def turn_page(self) -> None:
        """Go on to the next, once this one is ended and read."""
        self._read += len(_END_OF_PAGE)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def begin(self) -> None:
        """Forget what was, while the writer is idle."""
        os.ftruncate(self._descriptor, 0)
        self._read = 0

    def close(self) -> None:
        os.close(self._descriptor)
