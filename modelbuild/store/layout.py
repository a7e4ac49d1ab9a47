"""Where things lie in a store's folder, and what lies there without belonging to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from modelbuild.digest import Digest

Section: TypeAlias = Literal["blobs", "records"]

_PLACES = frozenset({"blobs", "drafts", "locks", "pins", "quarantine", "records", "uses"})
_NAME = re.compile(r"(?P<start>[0-9a-f]{2})/(?P<rest>[0-9a-f]{62})")


def blob_files(home: Path) -> Iterator[tuple[Digest, Path]]:
    return _ours(home / "blobs")


def record_files(home: Path) -> Iterator[tuple[Digest, Path]]:
    return _ours(home / "records")


def foreign(home: Path) -> Iterator[Path]:
    """What lies among blobs and records and cannot be one, links too; and what lies beside them and is no place.

    In order. What is hidden beside them is passed over: somebody may be about to write down uses.
    """
    for path in sorted(home.glob("[!.]*")):
        if path.name not in _PLACES:
            yield path
    for section in ("blobs", "records"):
        for path in _entries(home / section):
            if _name(path, home / section) is None:
                yield path


def _ours(folder: Path) -> Iterator[tuple[Digest, Path]]:
    for path in _entries(folder):
        if (name := _name(path, folder)) is not None:
            yield name, path


def _entries(folder: Path) -> Iterator[Path]:
    """All but the folders of the first level that have the right kind of name."""
    for start in sorted(folder.glob("*")):
        if len(start.name) == 2 and start.is_dir() and not start.is_symlink():
            yield from sorted(start.iterdir())
        else:
            yield start


def _name(path: Path, folder: Path) -> Digest | None:
    found = _NAME.fullmatch(path.relative_to(folder).as_posix())
    return found["start"] + found["rest"] if found and path.is_file() and not path.is_symlink() else None
