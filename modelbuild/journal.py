"""A file of sealed lines that many processes append to and read, and that a crash cannot spoil.

A line is one ``write`` to a file opened for appending, so lines of two writers do not mix; a torn or damaged line fails
its seal and is passed over. A journal holds what can be found out again (digests of files, what was built before):
losing a line costs time, never a wrong answer. That is why nothing is synced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild import digest, disk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = disk.Appender(path)
        self._inode = 0
        self._offset = 0

    def news(self) -> list[bytes]:
        """The bodies appended by others since the last call, oldest first."""
        with disk.explained(self.path):
            try:
                now = self.path.stat()
            except FileNotFoundError:
                return []
            if now.st_ino != self._inode or now.st_size < self._offset:  # rewritten: all of it is news
                self._inode, self._offset = now.st_ino, 0
            if now.st_size == self._offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self._offset)
                read = file.read()
        whole, _, _ = read.rpartition(b"\n")  # a last line without its end is still being written
        self._offset += len(whole) + 1 if whole else 0
        return [body for line in whole.split(b"\n") if (body := digest.unseal(line)) is not None]

    def append(self, bodies: Iterable[bytes]) -> None:
        lines = b"".join(map(digest.seal, bodies))
        with disk.explained(self.path):
            inode, end = self._end.write(lines)
        if self._offset == end - len(lines) and inode == (self._inode or inode):
            self._inode, self._offset = inode, end  # nobody else wrote since: what is ours is no news

    def rewrite(self, bodies: Iterable[bytes]) -> None:
        """Replace all lines. A line that another process appends at this very moment may be lost."""
        lines = b"".join(map(digest.seal, bodies))
        with disk.explained(self.path):
            disk.replace(self.path, lines, synced=False)
