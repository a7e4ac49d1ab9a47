"""What must be done some time, but nobody waits for: whoever waits for a worker does it meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Meanwhile:
    """Several threads may leave work here, and do it."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], object]] = deque()

    def leave(self, work: Callable[[], object]) -> None:
        self._left.append(work)

    def do(self) -> None:
        """All that is left; raises what it raises."""
        while self._left:
            try:
                work = self._left.popleft()
            except IndexError:  # another thread was quicker
                return
            work()
