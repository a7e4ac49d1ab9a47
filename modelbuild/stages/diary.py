"""What a worker does, in memory that it shares with whoever asked it: known at once, and after its death too.

A message for each event would cost both sides a turn, which is more than a small stage takes.
"""

from __future__ import annotations

import fcntl
import os

import msgspec

from modelbuild.stages.event import Event


class Diary:
    """The events of one errand. One process writes, another reads; each has its own of the same ``descriptor``."""

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

    def write(self, event: Event) -> None:
        os.write(self._descriptor, msgspec.json.encode(event.plain()) + b"\n")

    def news(self) -> list[Event]:
        """What was written since the last call."""
        written = os.pread(self._descriptor, os.fstat(self._descriptor).st_size - self._read, self._read)
        whole = written[: written.rfind(b"\n") + 1]  # a line that a death cut short is none
        self._read += len(whole)
        return [Event(**msgspec.json.decode(line)) for line in whole.splitlines()]

    def begin(self) -> None:
        """Forget what was; by the reader, while the writer is idle."""
        os.ftruncate(self._descriptor, 0)
        self._read = 0

    def close(self) -> None:
        os.close(self._descriptor)
