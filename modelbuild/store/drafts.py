"""Where a process writes what is not whole yet: on the store's own file system, so that a rename publishes it.

As little as can be is deleted here. Whenever a file is made, ext4 passes by all that was deleted in the last half a
minute, one by one; a file that comes and goes with every stage made each new one cost twenty times as much.
"""

from __future__ import annotations

import os
import secrets
import shutil
import weakref
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import disk, flock

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Drafts:
    """The drafts of one process below ``folder``, gone with it. Several threads may write there at once.

    ``sign`` is a file that is locked for as long as the process may write; None where the file system knows no locks.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        self._place = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        sign = self._place.with_suffix(".lock")
        descriptor = flock.acquire(sign, patience=0)
        self.sign = None if descriptor is None else sign
        self._place.mkdir()
        self._numbers = count()
        self._empty: list[Path] = []
        weakref.finalize(self, _leave, self._place, sign, descriptor, os.getpid())

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder of one's own; what is left in it is gone afterwards."""
        folder = self._empty.pop() if self._empty else self._new_folder()
        try:
            yield folder
        finally:
            with suppress(FileNotFoundError):  # the store was taken away, which whoever writes to it says
                if os.listdir(folder):  # noqa: PTH208 - at the end of every stage
                    shutil.rmtree(folder, ignore_errors=True)  # what a full disk leaves is swept by the next process
                else:
                    self._empty.append(folder)

    def write(self, data: bytes, target: str, *, mode: int, synced: bool) -> None:
        """Have a new file ``target`` hold ``data``, all of it or nothing. Raises OSError."""
        draft = f"{self._place}/{next(self._numbers)}"
        descriptor = os.open(draft, _NEW, mode)
        try:
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fchmod(descriptor, mode)
                if synced:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            publish(draft, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)  # noqa: PTH108 - a text, as all of this is: it is done for every blob
            raise

    def _new_folder(self) -> Path:
        folder = self._place / f"work-{next(self._numbers)}"
        folder.mkdir()
        return folder


def publish(draft: str, target: str) -> None:
    """Give a finished draft its name. The folder that it goes to is mostly there."""
    try:
        os.rename(draft, target)  # noqa: PTH104 - done for every blob
    except FileNotFoundError:
        disk.make_folder(Path(target).parent)
        os.rename(draft, target)  # noqa: PTH104


def _leave(place: Path, sign: Path, descriptor: int | None, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the process that writes there
        return
    shutil.rmtree(place, ignore_errors=True)
    if descriptor is not None:
        flock.release(sign, descriptor)


def _sweep(folder: Path) -> None:
    """Remove the drafts of processes that are gone."""
    for sign in sorted(folder.glob("*.lock")):
        descriptor = flock.acquire(sign, patience=0)
        if descriptor is not None:
            shutil.rmtree(sign.with_suffix(""), ignore_errors=True)
            flock.release(sign, descriptor)
