"""Copying a file and learning what was copied, in one pass."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from modelbuild import digest

if TYPE_CHECKING:
    import os

_CLONE = 0x40049409  # ioctl FICLONE: one more name for the same extents, parted by whoever writes first
_CANNOT_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})


def copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> str:
    """The xxh3-128 of what the new file ``target`` holds then: a reflink where the file system can, else a copy.

    Pieces that stay in the processor's cache on the way cost less than reading the file once more.
    """
    with open(source, "rb", buffering=0) as read, open(target, "xb", buffering=0) as write:  # noqa: PTH123 - thousands
        try:
            fcntl.ioctl(write.fileno(), _CLONE, read.fileno())
        except OSError as error:
            if error.errno not in _CANNOT_CLONE:
                raise
        else:
            return digest.fast_of_file(Path(target))
        fast = xxhash.xxh3_128()
        for piece in digest.pieces_of(read):
            fast.update(piece)
            written = write.write(piece)
            while written < len(piece):
                written += write.write(piece[written:])
        return fast.hexdigest()
