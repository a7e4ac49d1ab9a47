"""What must be done some time, but nobody waits for: whoever waits for a worker does it meanwhile."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class Meanwhile:
    """Several threads may leave work here, and do it."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], object]] = deque()
        self._later: deque[tuple[float, Callable[[], object]]] = deque()
        self._lock = threading.Lock()

    def leave(self, work: Callable[[], object]) -> None:
        self._left.append(work)

    def leave_for(self, seconds: float, work: Callable[[], object]) -> None:
        """Not before so many have passed, the same number each time; never, if nobody waits any more by then."""
        self._later.append((time.monotonic() + seconds, work))

    def do(self) -> None:
        """All that is left and due; raises what it raises."""
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], object] | None:
        with self._lock:
            if self._left:
                return self._left.popleft()
            if self._later and self._later[0][0] <= time.monotonic():
                return self._later.popleft()[1]
        return None
