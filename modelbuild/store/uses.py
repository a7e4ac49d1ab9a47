"""When answers were last of use, so that what nobody needs goes first."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from modelbuild.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from modelbuild.digest import Digest

_FINE_ENOUGH = 86_400.0


class Uses:
    """Written down, to the day: a key costs a line a day and no more.

    The file system's access times are switched off in most places, and a backup that reads a file does not use it.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._last: dict[Digest, float] = {}
        self._lock = threading.Lock()

    def note(self, keys: Iterable[Digest]) -> None:
        """Have ``keys`` be of use now."""
        now = time.time()
        with self._lock:
            if not self._last:
                self._catch_up()
            news = [key for key in keys if abs(now - self._last.get(key, 0.0)) >= _FINE_ENOUGH]
            if news:
                self._last.update(dict.fromkeys(news, now))
                self._journal.append([_line(key, now) for key in news])

    def last(self) -> Mapping[Digest, float]:
        """Seconds since the epoch at which each key was last of use, as far as that was written down."""
        with self._lock:
            self._catch_up()
            return dict(self._last)

    def forget_all_but(self, keys: Collection[Digest]) -> None:
        with self._lock:
            self._catch_up()
            self._last = {key: at for key, at in self._last.items() if key in keys}
            self._journal.rewrite(_line(key, at) for key, at in sorted(self._last.items()))

    def _catch_up(self) -> None:
        for line in self._journal.news():
            key, at = line.decode().split()
            self._last[key] = float(at)


def _line(key: Digest, at: float) -> bytes:
    return f"{key} {at:.0f}".encode()
