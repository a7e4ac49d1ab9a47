"""What must be done some time, but nobody waits for: whoever waits for a worker does it meanwhile."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class _Left(NamedTuple):
    subject: object
    work: Callable[[], object]
    due: float = 0.0


class Meanwhile:
    """Several threads may leave work here, and do it; ``subject`` is what the work is for."""

    def __init__(self) -> None:
        self._left: deque[_Left] = deque()
        self._later: deque[_Left] = deque()
        self._lock = threading.Lock()

    def leave(self, subject: object, work: Callable[[], object]) -> None:
        self._left.append(_Left(subject, work))

    def leave_for(self, seconds: float, subject: object, work: Callable[[], object]) -> None:
        """Not before so many have passed, the same number each time; never, if nobody waits any more by then."""
        self._later.append(_Left(subject, work, time.monotonic() + seconds))

    def do(self) -> None:
        """All that is left and due; raises what it raises, with a note that whoever does it did it for another."""
        while (left := self._next()) is not None:
            try:
                left.work()
            except Exception as error:
                error.add_note(f"in what was left to do for {left.subject}")
                raise

    def _next(self) -> _Left | None:
        with self._lock:
            if self._left:
                return self._left.popleft()
            if self._later and self._later[0].due <= time.monotonic():
                return self._later.popleft()
        return None
