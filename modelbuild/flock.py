"""Advisory locks that die with their holder."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import disk

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.02  # whoever waits here is a worker that does nothing
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def held(path: Path, patience: float) -> Iterator[bool]:
    """Hold the lock file ``path`` for the block; False after ``patience`` seconds of somebody else having it.

    The file is there only while somebody holds it or waits for it.
    """
    descriptor = acquire(path, patience)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            release(path, descriptor)


@contextmanager
def folder_held(folder: Path, patience: float) -> Iterator[bool]:
    """The same with a folder that is there already: nothing is made for the lock, and nothing can stay behind."""
    descriptor = _locked(folder, patience, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def acquire(path: Path, patience: float) -> int | None:
    """The open, locked file; None if it stays somebody else's, or if this file system knows no locks."""
    disk.make_folder(path.parent)
    return _locked(path, patience, os.O_RDWR | os.O_CREAT)


def _locked(path: Path, patience: float, how: int) -> int | None:
    for _ in _rounds(patience):
        try:
            return _attempt(path, how)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return None
    return None


def _attempt(path: Path, how: int) -> int:
    """The open, locked file. Raises BlockingIOError where somebody else holds it."""
    while True:
        descriptor = os.open(path, how | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed the file between our open and our lock


def _rounds(patience: float) -> Iterator[None]:
    """Now, and again and again until so many seconds have passed."""
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    yield
    while time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        yield


def release(path: Path, descriptor: int) -> None:
    # Unlinked while locked: whoever waits on this file finds, once it has the lock, that the name is gone.
    path.unlink(missing_ok=True)
    os.close(descriptor)


def claim(name: str, sign: Path, patience: float) -> bool:
    """Hold ``name`` by making it another name of ``sign``, a file that this process has locked for as long as it lives.

    Nothing is made or deleted on the disk for it, as a lock file would be. Whoever waits sees the name go, or that its
    holder is gone. False after ``patience`` seconds, or if this file system knows no second names.
    """
    for _ in _rounds(patience):
        try:
            if _is_claimed(name, sign):
                return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
    return False


def disclaim(name: str) -> None:
    Path(name).unlink(missing_ok=True)


def _is_claimed(name: str, sign: Path) -> bool:
    while True:
        try:
            os.link(sign, name)
        except FileExistsError:
            if not _is_free(Path(name)):
                return False
        else:
            return True


def _is_free(path: Path) -> bool:
    """Take away a name that a killed process left; whether there is none now."""
    try:
        descriptor = _attempt(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    release(path, descriptor)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
