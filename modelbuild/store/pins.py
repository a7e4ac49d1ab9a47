"""What a sweep must leave, whoever asked for it: the answers of a release, under a name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from modelbuild import digest, disk
from modelbuild.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from modelbuild.digest import Digest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Pins:
    """A sealed file a name. One that is damaged stops every sweep: what it held would be lost without a word."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pin(self, name: str, keys: Iterable[Digest]) -> None:
        """Keep ``keys`` and what they were made of; replaces what the name stood for."""
        path = self._place(name)
        with disk.explained(path):
            disk.replace(path, digest.seal(digest.canonical((*sorted(set(keys)),))))

    def unpin(self, name: str) -> None:
        path = self._place(name)
        with disk.explained(path):
            if not path.exists():
                raise UsageError(f"nothing is pinned as {name!r}; there is {', '.join(self.all()) or 'no pin at all'}")
            path.unlink()

    def all(self) -> dict[str, list[Digest]]:
        """The keys of every pin, by name."""
        return {name: self.keys(name) for name in self.names()}

    def names(self) -> list[str]:
        with disk.explained(self._folder):
            return sorted(path.name for path in self._folder.glob("*") if _NAME.fullmatch(path.name))

    def keys(self, name: str) -> list[Digest]:
        """Raises :class:`StoreError` where they cannot be told."""
        path = self._place(name)
        with disk.explained(path):
            body = digest.unseal(path.read_bytes())
        if body is None:
            raise StoreError(f"{path}: this pin is damaged: pin it again, or remove the file to give up what it kept")
        keys: list[Digest] = json.loads(body)
        return keys

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a pin: letters, digits, '.', '_' and '-', at most 64")
        return self._folder / name
