"""Where wheels stay while a build runs, so that the models of one package cost one download."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelbuild import disk, flock

_PATIENCE: Final = 1800.0


@contextmanager
def room(requirement: str, into: Path) -> Iterator[Path]:
    """The folder of the wheel of ``name==version``; within the block nobody else fills or clears it.

    Unless this file system knows no locks, or somebody had it for half an hour.
    """
    folder = into / "wheels" / requirement
    with disk.explained(folder), flock.held(_lock(folder), _PATIENCE):
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def discard_wheels(into: Path) -> None:
    """Remove the wheels that were kept, except those that somebody is fetching or opening now."""
    for folder in sorted(path for path in (into / "wheels").glob("*") if path.is_dir()):
        with flock.held(_lock(folder), 0) as alone:
            if alone:
                shutil.rmtree(folder)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
