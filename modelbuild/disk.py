"""Writing files so that a crash leaves the old one or the new one, and saying plainly when a disk refuses."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from modelbuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADVICE = {
    errno.ENOSPC: "free some space, or put {what} on another disk",
    errno.EDQUOT: "the quota is used up: free some space, or put {what} on another disk",
    errno.EROFS: "the file system is read-only: put {what} elsewhere",
    errno.EACCES: "fix the permissions, or put {what} elsewhere",
    errno.EPERM: "fix the permissions, or put {what} elsewhere",
    errno.EEXIST: "a file is in the way of a folder: move it",
    errno.ENOTDIR: "a file is in the way of a folder: move it",
    errno.ENOENT: "it was taken away meanwhile: try again",
    errno.ENOTEMPTY: "something else is writing there: wait for it, and try again",
    errno.EISDIR: "a folder is in the way of a file: move it",
}
REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})
"""What a disk answers to a writer who did nothing wrong."""


@contextmanager
def explained(path: Path, what: str = "the cache") -> Iterator[None]:
    """Turn any OSError of the block into a StoreError of one line.

    ``path`` names what the system does not, ``what`` is what a person could put elsewhere.
    """
    try:
        yield
    except OSError as error:
        raise trouble(error, path, what) from error


def trouble(error: OSError, path: Path, what: str = "the cache") -> StoreError:
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
    return StoreError(refusal(error, place, what))


def refusal(error: OSError, place: Path | str, what: str) -> str:
    """One line for people; ``what`` could be put elsewhere."""
    advice = _ADVICE.get(error.errno or 0, "check the disk").format(what=what)
    return f"{place}: {(error.strerror or str(error)).lower()}: {advice}"


def sync(path: Path) -> None:
    """Have the file's bytes on the disk before its name is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Appender:
    """A file that lines are appended to, each write as a whole, by any number of processes; made when it is written to.

    It is kept open, across forks too. Whoever puts another file in its place is noticed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._closing: weakref.finalize[[int], Appender] | None = None
        self._lock = threading.Lock()

    def write(self, data: bytes) -> tuple[int, int]:
        """Gives the file's inode and where in it the written ends."""
        with self._lock:
            if self._descriptor is None or not _is_at(self._path, self._descriptor):
                if self._closing is not None:
                    self._closing()
                self._descriptor = self._open()
                self._closing = weakref.finalize(self, os.close, self._descriptor)
                self._closing.atexit = False  # whoever writes last may do so at exit
            if os.write(self._descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            return os.fstat(self._descriptor).st_ino, os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def _open(self) -> int:
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, how, 0o644)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, how, 0o644)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        named = os.stat(path)  # noqa: PTH116 - it is asked before every line
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def make_folder(path: Path) -> None:
    """Have a folder there. Mostly it is, and looking costs less than being refused."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)


def replace(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write a whole file or nothing."""
    with drafted(path, synced=synced) as file:
        file.write(data)


@contextmanager
def drafted(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes ``path`` when the block ends well and is gone when it does not."""
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(descriptor)
            os.fchmod(descriptor, 0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
