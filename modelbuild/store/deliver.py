"""Laying blobs out as files for people: together or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import digest, disk, flock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from modelbuild.store.interface import Store
    from modelbuild.store.record import Blob

_EXCHANGE = 2  # renameat2's RENAME_EXCHANGE
_HERE = -100  # AT_FDCWD
_CANNOT_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV})
_CANNOT_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS})
_PATIENCE = 60.0
_WHAT = "what is delivered"


def deliver(store: Store, files: Mapping[str, Blob], folder: Path) -> tuple[str, ...]:
    """Make ``folder`` hold ``files`` (name -> content) and say which had to be written, in order.

    A reader, or a crash at any moment, meets the old files or the new ones, never a mixture: a new folder is filled
    beside the old one and they change places. A file that is right already keeps its inode and mtime; other people's
    files in the folder stay. Content is reflinked where the file system can and copied where not, never hard-linked
    into the store: an edit would reach it. Raises Lost, with the old files in place, when a blob is gone or damaged.

    Nothing is synced: what a power cut spoils is seen by the next comparison with the blobs, and delivered again.
    """
    written = tuple(sorted(files)) if not folder.exists() else _unlike(files, folder)
    if not written:
        return ()
    place = folder.resolve() if folder.is_symlink() else folder  # maybe a link to a bigger disk: the real one changes
    with disk.explained(place, _WHAT):
        if not place.parent.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
        with flock.folder_held(place.parent, _PATIENCE) as alone:
            drafts = f".{place.name}.delivery-"
            if alone:
                for stale in _drafts(place.parent, drafts):
                    shutil.rmtree(stale)
            draft = place.with_name(f"{drafts}{secrets.token_hex(8)}")
            draft.mkdir()
            try:
                for name in written:
                    store.copy(files[name], draft / name)
                _put_in_place(draft, place, written)
            finally:
                shutil.rmtree(draft, ignore_errors=True)  # swept by the next delivery if not now
    return written


def _unlike(files: Mapping[str, Blob], folder: Path) -> tuple[str, ...]:
    return tuple(sorted(name for name, blob in files.items() if not _is(folder / name, blob)))


def _drafts(parent: Path, prefix: str) -> list[str]:
    with os.scandir(parent) as entries:
        return [
            entry.path for entry in entries if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
        ]


def _is(path: Path, blob: Blob) -> bool:
    with disk.explained(path, _WHAT):
        regular = path.is_file() and not path.is_symlink()
        return regular and path.stat().st_size == blob.size and digest.fast_of_file(path) == blob.xxh3


def _put_in_place(draft: Path, place: Path, written: tuple[str, ...]) -> None:
    if not place.exists():
        draft.rename(place)
        return
    for entry in sorted(place.iterdir()):
        if entry.name not in written:
            _carry(entry, draft / entry.name)
    try:
        _exchange(draft, place)
    except OSError as error:
        if error.errno not in _CANNOT_EXCHANGE:
            raise
        for name in written:  # one after the other is the best that this file system can do
            (draft / name).replace(place / name)
    else:
        _bring_back(draft, place, written)


def _carry(entry: Path, target: Path) -> None:
    """Have what is at ``entry`` at ``target`` too, the same inodes where possible."""
    if entry.is_dir() and not entry.is_symlink():
        target.mkdir()
        for inner in sorted(entry.iterdir()):
            _carry(inner, target / inner.name)
        shutil.copystat(entry, target)
        return
    try:
        os.link(entry, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        shutil.copy2(entry, target, follow_symlinks=False)


def _bring_back(old: Path, place: Path, written: Collection[str]) -> None:
    """Have what others put into ``old`` while its content was carried over."""
    for entry in sorted(old.iterdir()):
        target = place / entry.name
        if entry.name in written:
            continue
        if not os.path.lexists(target):
            entry.rename(target)
        elif entry.is_dir() and not entry.is_symlink():
            _bring_back(entry, target, ())


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "no renameat2 in this C library")
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))
