"""Who may run now: so many at once, and together no more memory than there is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from modelbuild.errors import StageError


class Turns:
    """First come, first served; a small need does not overtake a big one, which would wait for ever."""

    def __init__(self, size: int, memory: int | None) -> None:
        self.stopped = False
        self._size = size
        self._memory = memory
        self._queue: deque[object] = deque()
        self._running = 0
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, need: int) -> Iterator[None]:
        """Wait for a place and ``need`` bytes, and have them for the block. Raises StageError once stopped."""
        with self._changed:
            self._wait(need)
            self._running += 1
            self._used += need
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._used -= need
                self._changed.notify_all()

    def stop(self) -> None:
        """Nobody's turn comes any more."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def refuse_if_stopped(self) -> None:
        if self.stopped:
            raise StageError("the build was stopped")

    def _wait(self, need: int) -> None:
        mine = object()
        self._queue.append(mine)
        try:
            while not self.stopped and not (self._queue[0] is mine and self._fits(need)):
                self._changed.wait()
        finally:
            self._queue.remove(mine)
            self._changed.notify_all()
        self.refuse_if_stopped()

    def _fits(self, need: int) -> bool:
        if self._running == 0:  # what needs more than there is runs alone rather than never
            return True
        return self._running < self._size and (self._memory is None or self._used + need <= self._memory)
