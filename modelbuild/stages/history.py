"""Which keys each (stage, subject) of a checkout has had, so that the next one can be compared with them."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

from modelbuild.digest import Digest
from modelbuild.journal import Journal
from modelbuild.stages.job import Job

_REMEMBERED = 8
_STALE_LINES = 2_000


class History:
    """Belongs to a checkout, not to a store, which others may share. Losing it costs explanations only."""

    def __init__(self, path: Path | None) -> None:
        self._journal = Journal(path) if path is not None else None
        self._keys: defaultdict[tuple[str, str], list[Digest]] = defaultdict(list)
        self._is_read = False
        self._lines = 0
        self._kept = 0
        self._lock = threading.Lock()

    def earlier(self, job: Job) -> list[Digest]:
        """The keys of ``job`` so far, the latest first, each once."""
        with self._lock:
            self._catch_up()
            return list(reversed(self._keys[_name(job)]))

    def note(self, job: Job, key: Digest) -> None:
        """Have ``key`` be the latest."""
        with self._lock:
            if self._keys[_name(job)][-1:] == [key]:  # mostly so, and then nothing is read or written
                return
            if not self._is_read:  # what others have noted since costs a line at worst
                self._catch_up()
            if self._keys[_name(job)][-1:] == [key]:
                return
            self._add(_name(job), key)
            if self._journal is not None:
                self._journal.append([_line(_name(job), key)])
                self._lines += 1

    def _add(self, name: tuple[str, str], key: Digest) -> None:
        keys = self._keys[name]
        self._kept -= len(keys)
        if key in keys:
            keys.remove(key)
        keys.append(key)
        del keys[:-_REMEMBERED]
        self._kept += len(keys)

    def _catch_up(self) -> None:
        if self._journal is None:
            return
        self._is_read = True
        news = self._journal.news()
        for line in news:
            stage, _, rest = line.decode().partition(" ")
            subject, _, key = rest.rpartition(" ")
            self._add((stage, subject), key)
        self._lines += len(news)
        if self._lines > 2 * self._kept + _STALE_LINES:
            self._journal.rewrite(_line(name, key) for name, keys in self._keys.items() for key in keys)
            self._lines = self._kept


def _name(job: Job) -> tuple[str, str]:
    return job.stage.name, job.subject


def _line(name: tuple[str, str], key: Digest) -> bytes:
    """Text to be cut up: thousands are read for the reason of one change."""
    return f"{name[0]} {name[1]} {key}".encode()
