"""A file on its way in: written aside, named only when its content is what was asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from modelbuild import digest, disk, flock
from modelbuild.errors import EnvironmentTrouble, SourceError

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with what comes, how many bytes of it are here, and how many there will be if that is known."""

PIECE: Final = 1 << 20
LFS: Final = b"version https://git-lfs.github.com/spec/"
_PATIENCE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Retries:
    """``attempts`` in a row may fail without a byte gained; ``pause`` seconds before the second, then twice that.

    ``timeout`` seconds is a server silent before an attempt fails.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0


PATIENT: Final = Retries()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that shall lie at ``path``. ``where`` is what brings it: a URL or a member of a wheel."""

    name: str
    where: str
    sha256: digest.Digest
    path: Path


def unheard(_what: str, _done: int, _total: int | None) -> None:
    """Nobody listens."""


@contextmanager
def draft(wanted: Wanted, into: Path) -> Iterator[Path]:
    """The path at which to write ``wanted``; an earlier attempt may have left a part there.

    Only one process at a time has it. Who waited may find that the file has arrived meanwhile. What the disk refuses
    in the block is a ``StoreError``.
    """
    drafts = into / "parts"
    with disk.explained(drafts), flock.held(drafts / f"{wanted.sha256}.lock", _PATIENCE) as alone:
        if alone:
            yield drafts / f"{wanted.sha256}.part"
            return
        part = drafts / f"{wanted.sha256}.{os.urandom(4).hex()}.part"  # no locks here, or a very slow neighbour
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def settle(part: Path, wanted: Wanted) -> None:
    """Give the complete ``part`` its name; ``SourceError`` and no file at all if it is something else."""
    found = digest.of_file(part)
    if found != wanted.sha256:
        with part.open("rb") as file:
            pointer = file.read(len(LFS)) == LFS
        part.unlink()
        what = "a Git LFS pointer came in place of the file" if pointer else f"what came has the sha256 {found}"
        raise SourceError(f"{wanted.where}: {what}, expected is {wanted.sha256}; nothing of it is kept")
    disk.sync(part)
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(wanted.path)


def expect_room(folder: Path, needed: int, what: str) -> None:
    """Raise ``EnvironmentTrouble`` if the disk cannot take so many bytes more."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentTrouble(
            f"{what}: {needed:,} bytes are to come, the disk of {folder} has {free:,} left; free some space"
        )
