"""Notes of a checkout, many in a file: opening thousands takes longer than a build with nothing to do may."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from modelbuild.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

_SLACK = 2_000
"""Lines that count no more are left up to that many, before they are cleared out."""


class Ledger:
    """Notes by name (a word without spaces); the last one counts. A lost line costs looking something up anew.

    Safe to use from several threads and processes. What another process notes is seen when a note is missing here: a
    note that is out of date fits nothing that it is held against.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._notes: dict[str, bytes] = {}
        self._lines = 0
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes | None:
        found = self._notes.get(name)
        if not found:
            with self._lock:
                self._catch_up()
                found = self._notes.get(name)
        return found or None

    def write(self, name: str, note: bytes) -> None:
        """Only if it changes."""
        with self._lock:
            self._catch_up()
            self._put(name, note)

    def replace(self, name: str, old: bytes, new: bytes) -> None:
        """Write ``new`` if the last note is ``old``: somebody else may have noted something since."""
        with self._lock:
            self._catch_up()
            if self._notes.get(name) == old:
                self._put(name, new)

    def forget(self, name: str) -> None:
        self.write(name, b"")

    def _catch_up(self) -> None:
        news = self._journal.news()
        for line in news:
            name, _, note = line.partition(b" ")
            self._notes[name.decode()] = note
        self._lines += len(news)

    def _put(self, name: str, note: bytes) -> None:
        if self._notes.get(name, b"") != note:
            self._notes[name] = note
            self._journal.append([_line(name, note)])
            self._lines += 1
            self._clear_out()

    def _clear_out(self) -> None:
        """What counts no more, where that is most of it."""
        if self._lines > 2 * len(self._notes) + _SLACK:
            self._notes = {name: note for name, note in self._notes.items() if note}
            self._journal.rewrite(_line(name, note) for name, note in self._notes.items())
            self._lines = len(self._notes)


def _line(name: str, note: bytes) -> bytes:
    return b"%s %s" % (name.encode(), note)
