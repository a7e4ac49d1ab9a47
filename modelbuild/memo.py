"""Digests of files, remembered for as long as the file is not touched.

A file is known again by its size, mtime, ctime and inode: a program can set the mtime back, only the clock sets the
ctime. A file younger than two seconds is read every time, because two writes can share one time stamp.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from modelbuild import digest
from modelbuild.errors import SourceError
from modelbuild.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelbuild.digest import Digest

_LINE: msgspec.json.Decoder[tuple[str, str, str, int, int, int, int]]
_LINE = msgspec.json.Decoder(tuple[str, str, str, int, int, int, int])
SETTLING = 2.0
"""Seconds in which a file may change and look as it did."""

_STALE_LINES = 2_000


class Signature(NamedTuple):
    """What a file system says about a file without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Fingerprint(NamedTuple):
    """A digest and what the file looked like when it was taken. Two equal ones: nobody wrote in between."""

    digest: Digest
    signature: Signature


class Memo:
    """Digests of files by any function ``how`` of a path; its ``__name__`` tells entries apart.

    A path may be text: making a Path takes longer than looking up what is known.
    With a ``path`` they outlive the process and are shared with others at work; a damaged memo is an empty one.
    ``deferred``: nothing is written before `keep`, so that a process that only looks leaves no trace.
    Safe to use from several threads.
    """

    def __init__(self, path: Path | None, *, deferred: bool = False) -> None:
        self._journal = Journal(path) if path is not None else None
        self._deferred: list[bytes] | None = [] if deferred else None
        self._known: dict[tuple[str, str], Fingerprint] = {}
        self._lines = 0
        self._lock = threading.Lock()

    def of(self, path: Path | str, how: Callable[[Path], Digest] = digest.of_file) -> Digest:
        return self.fingerprint(path, how).digest

    def fingerprint(self, path: Path | str, how: Callable[[Path], Digest] = digest.of_file) -> Fingerprint:
        """Raises SourceError when there is no such file, or when it changes while it is read."""
        found = signature(path)
        name = (how.__name__, _absolute(path))
        known = self._recall(name, found)
        if known is not None:
            return known
        keeps = is_settled(found)
        made = Fingerprint(how(Path(path)), found)
        if signature(path) != found:
            raise SourceError(f"{path}: changed while it was read; run again when it is complete")
        if keeps:
            self._remember(name, made)
        return made

    def _recall(self, name: tuple[str, str], found: Signature) -> Fingerprint | None:
        known = self._known.get(name)
        if known is None or known.signature != found:
            with self._lock:
                self._catch_up()
                known = self._known.get(name)
        return known if known is not None and known.signature == found else None

    def _remember(self, name: tuple[str, str], made: Fingerprint) -> None:
        with self._lock:
            self._known[name] = made
            if self._deferred is not None:
                self._deferred.append(_line(name, made))
            elif self._journal is not None:
                self._append(self._journal, [_line(name, made)])

    def keep(self) -> None:
        """Write down what was deferred."""
        with self._lock:
            if self._journal is not None and self._deferred:
                self._append(self._journal, self._deferred)
                self._deferred.clear()

    def _catch_up(self) -> None:
        if self._journal is None:
            return
        news = self._journal.news()
        for line in news:
            how, path, content, *numbers = _LINE.decode(line)
            self._known[how, path] = Fingerprint(content, Signature(*numbers))
        self._lines += len(news)

    def _append(self, journal: Journal, lines: list[bytes]) -> None:
        """And clear out what is out of date, where that is most of it."""
        journal.append(lines)
        self._lines += len(lines)
        if self._lines > 2 * len(self._known) + _STALE_LINES:
            journal.rewrite(_line(name, made) for name, made in self._known.items())
            self._lines = len(self._known)


def signature(path: Path | str) -> Signature:
    try:
        return signature_of(os.stat(path))  # noqa: PTH116 - see _absolute
    except OSError as error:
        raise SourceError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error


def signature_of(seen: os.stat_result) -> Signature:
    return Signature(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def is_settled(seen: Signature) -> bool:
    """Whether whoever writes to the file from now on gives it another signature."""
    return time.time_ns() - seen.ctime_ns > SETTLING * 1e9


def _absolute(path: Path | str) -> str:
    text = os.fspath(path)
    return text if text.startswith("/") else f"{os.getcwd()}/{text}"  # noqa: PTH109 - a Path costs more than the rest


def _line(name: tuple[str, str], made: Fingerprint) -> bytes:
    return json.dumps([*name, made.digest, *made.signature]).encode()
