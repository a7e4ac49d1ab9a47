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
        self._keys: defaultdict[bytes, list[Digest]] = defaultdict(list)
        self._is_read = False
        self._lines = 0
        self._bearable = 0
        self._lock = threading.Lock()

    def earlier(self, job: Job) -> list[Digest]:
        """The keys of ``job`` so far, the latest first, each once."""
        with self._lock:
            self._catch_up()
            return _latest(self._keys[_name(job)])

    def note(self, job: Job, key: Digest) -> None:
        """Have ``key`` be the latest."""
        with self._lock:
            keys = self._keys[_name(job)]
            if keys[-1:] == [key]:  # mostly so, and then nothing is read or written
                return
            if not self._is_read:  # what others have noted since costs a line at worst
                self._catch_up()
            if keys[-1:] == [key]:
                return
            keys.append(key)
            if self._journal is not None:
                self._journal.append([_line(_name(job), key)])
                self._lines += 1
                if self._lines > max(self._bearable, 2 * len(self._keys) + _STALE_LINES):
                    self._clear_out(self._journal)

    def _catch_up(self) -> None:
        if self._journal is None:
            return
        self._is_read = True
        news = self._journal.news()
        for line in news:  # thousands, for the reason of one change: no more is done to each
            name, _, key = line.rpartition(b" ")
            self._keys[name].append(key.decode())
        self._lines += len(news)

    def _clear_out(self, journal: Journal) -> None:
        """Forget what is out of date, in the journal too where that is most of it."""
        for keys in self._keys.values():
            keys[:] = reversed(_latest(keys))
        kept = sum(map(len, self._keys.values()))
        self._bearable = 2 * kept + _STALE_LINES
        if self._lines > self._bearable:
            journal.rewrite(_line(name, key) for name, keys in self._keys.items() for key in keys)
            self._lines = kept


def _latest(keys: list[Digest]) -> list[Digest]:
    """The latest first, each once."""
    return list(dict.fromkeys(reversed(keys)))[:_REMEMBERED]


def _name(job: Job) -> bytes:
    return f"{job.stage.name} {job.subject}".encode()


def _line(name: bytes, key: Digest) -> bytes:
    return b"%s %s" % (name, key.encode())
