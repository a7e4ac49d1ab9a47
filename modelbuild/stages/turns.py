"""Who may run now: so many at once, and together no more memory than there is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from modelbuild.errors import StageError


class Turns:
    """First come, first served; a small need does not overtake a big one, which would wait for ever.

    Nor do more run at once than there are who `attend`: work that was begun for later takes no place beside theirs.
    """

    def __init__(self, size: int, memory: int | None) -> None:
        self.stopped = False
        self._size = size
        self._memory = memory
        self._queue: deque[object] = deque()
        self._attending = 0
        self._running = 0
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def attend(self) -> Iterator[None]:
        """Be there, to run something or to wait for what runs."""
        with self._changed:
            self._attending += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._attending -= 1

    def enter(self, need: int) -> None:
        """Wait for a place and ``need`` bytes, and have them until `leave`. Raises StageError once stopped."""
        with self._changed:
            self._wait(need)
            self._running += 1
            self._used += need

    def leave(self, need: int) -> None:
        with self._changed:
            self._running -= 1
            self._used -= need
            self._changed.notify_all()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody would take a place if there were one."""
        return bool(self._queue)

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
        if self._running >= min(self._size, self._attending):
            return False
        return self._memory is None or self._used + need <= self._memory
