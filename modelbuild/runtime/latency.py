"""How long a model takes to answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modelbuild.runtime.session import Session
    from modelbuild.tensor.dtype import Array

FEWEST: Final = 3
MOST: Final = 200
SECONDS: Final = 0.5
"""How long runs go on beyond the fewest."""


def fastest(sessions: Sequence[Session], feeds: Mapping[str, Array]) -> tuple[list[float], int]:
    """Seconds of the fastest run of each, and how many runs there were: whatever disturbs a run makes it slower.

    They are run in turn, so that what slows the machine down slows all of them.
    """
    for session in sessions:
        session.feed(feeds)
        session.infer()
    best = [float("inf")] * len(sessions)
    until, runs = time.perf_counter() + SECONDS, 0
    while runs < FEWEST or (runs < MOST and time.perf_counter() < until):
        runs += 1
        for i, session in enumerate(sessions):
            started = time.perf_counter()
            session.infer()
            best[i] = min(best[i], time.perf_counter() - started)
    return best, runs
