"""A store in a folder."""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from modelbuild import digest, disk, flock
from modelbuild.errors import StoreError
from modelbuild.store import layout
from modelbuild.store.copying import copy
from modelbuild.store.drafts import Drafts, publish
from modelbuild.store.interface import Damage, Lost
from modelbuild.store.pins import Pins
from modelbuild.store.record import Blob, Record, blob_of, blob_of_bytes
from modelbuild.store.uses import Uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.digest import Digest
    from modelbuild.store.layout import Section

FORMAT = "v1"
_WORTH_SYNCING = 1 << 20
"""Bytes from where it is worth waiting for the disk. What a power cut takes is noticed by its size or check sum when it
is asked for, and made again: of small things in less time than syncing all of them takes."""

_READ_ONLY, _READ_WRITE = 0o444, 0o644

_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by modelbuild; safe to delete, costs only time.\n"


class LocalStore:
    """Records and blobs below ``root``, shared by any number of processes and threads.

    Nothing is made on disk before the first write, so that asking leaves no trace.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damage: deque[Damage] = deque()
        self.home = root / FORMAT
        self.uses = Uses(self.home / "uses")
        self.pins = Pins(self.home / "pins")
        self._open_drafts: Drafts | None = None
        self._owner = os.getpid()
        self._opening = threading.Lock()

    # ---- reading ----

    def record(self, key: Digest) -> Record | None:
        place = self._place("records", key)
        try:
            with open(place, "rb", buffering=0, opener=_at_once) as file:
                data = file.read()
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            self.set_aside(Path(place), f"record {key[:12]}", "it is a folder")
            return None
        except OSError as error:
            raise disk.trouble(error, Path(place)) from error
        try:
            found = Record.decode(data)
        except ValueError as error:
            self.set_aside(Path(place), f"record {key[:12]}", str(error))
            return None
        if found.key != key:
            self.set_aside(Path(place), f"record {key[:12]}", f"it answers another key, {found.key[:12]}")
            return None
        return found

    def missing(self, record: Record) -> list[Blob]:
        return [blob for blob in record.blobs if self._size(blob) != blob.size]

    def recall(self, key: Digest) -> Record | None:
        found = self.record(key)
        return None if found is None or self.missing(found) else found

    def path(self, blob: Blob) -> Path:
        path = Path(self._place("blobs", blob.sha256))
        if self._size(blob) is None:
            raise Lost(blob)
        try:
            found = digest.fast_of_file(path)
        except FileNotFoundError as error:
            raise Lost(blob) from error
        except OSError as error:
            raise disk.trouble(error, path) from error
        if found != blob.xxh3:
            raise self._lose(blob, found)
        return path

    def read(self, blob: Blob) -> bytes:
        place = self._place("blobs", blob.sha256)
        try:
            with open(place, "rb", buffering=0, opener=_at_once) as file:
                data = file.read(blob.size + 1)
        except FileNotFoundError as error:
            raise Lost(blob) from error
        except OSError as error:
            raise disk.trouble(error, Path(place)) from error
        found = xxhash.xxh3_128_hexdigest(data)
        if found != blob.xxh3:
            raise self._lose(blob, found)
        return data

    def copy(self, blob: Blob, target: Path) -> None:
        if self._size(blob) is None:
            raise Lost(blob)
        try:
            found = copy(self._place("blobs", blob.sha256), target)
        except FileNotFoundError as error:
            if self._size(blob) is None:  # taken away just now
                raise Lost(blob) from error
            raise
        if found != blob.xxh3:
            target.unlink()
            raise self._lose(blob, found)

    def keys(self) -> Iterator[Digest]:
        return (key for key, _ in layout.record_files(self.home))

    # ---- writing ----

    def used(self, *keys: Digest) -> None:
        self.uses.note(keys)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with ExitStack() as held:
            with disk.explained(self.home):
                folder = held.enter_context(self._drafts().folder())
            try:
                yield folder
            except OSError as error:
                if error.errno not in disk.REFUSALS and folder.exists():
                    raise
                raise self._refused(error) from error

    def take(self, draft: Path, blob: Blob | None = None) -> Blob:
        with disk.explained(draft):
            counted = blob or blob_of(draft)
            draft.chmod(_READ_ONLY)
            if counted.size >= _WORTH_SYNCING:
                disk.sync(draft)
            # Also over one that is there: it may be damaged, this one is not.
            publish(str(draft), self._place("blobs", counted.sha256))
        return counted

    def put(self, data: bytes) -> Blob:
        blob = blob_of_bytes(data)
        place = self._place("blobs", blob.sha256)
        if not self._is_known(place, data):
            self._write(data, place, _READ_ONLY)
        return blob

    def publish(self, record: Record) -> None:
        data = record.encode()
        self._write(data, self._place("records", record.key), _READ_WRITE, synced=record.size >= _WORTH_SYNCING)

    @contextmanager
    def lock(self, key: Digest, patience: float) -> Iterator[bool]:
        name = f"{self.home}/locks/{key}"
        with disk.explained(self.home):
            sign = self._drafts().sign
            mine = sign is not None and flock.claim(name, sign, patience)
        try:
            yield mine
        finally:
            if mine:
                flock.disclaim(name)

    # ---- looking after it ----

    def place(self, section: Section, name: Digest) -> Path:
        """Where a blob or record lies, or would."""
        return Path(self._place(section, name))

    def set_aside(self, path: Path, what: str, why: str) -> None:
        """Move a damaged file out of everyone's way; another process may have been quicker."""
        place = self.home / "quarantine" / f"{path.parent.name}{path.name}.{secrets.token_hex(4)}"
        with disk.explained(path):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.replace(place)
            except FileNotFoundError:
                return
        self.damage.append(Damage(what, why))

    # ---- inside ----

    def _place(self, section: Section, name: Digest) -> str:
        """As text, for the sake of a build with nothing to do: making five Paths takes longer than reading a record."""
        return f"{self.home}/{section}/{name[:2]}/{name[2:]}"

    def _size(self, blob: Blob) -> int | None:
        """The blob's size on disk; a blob of the wrong size is set aside and None."""
        place = self._place("blobs", blob.sha256)
        try:
            size = os.stat(place).st_size  # noqa: PTH116 - see _place
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk.trouble(error, Path(place)) from error
        if size != blob.size:
            self.set_aside(Path(place), f"blob {blob.sha256[:12]}", f"{size} bytes, was {blob.size}")
            return None
        return size

    def _lose(self, blob: Blob, found: str) -> Lost:
        why = f"xxh3 is {found[:12]}, was {blob.xxh3[:12]}"
        self.set_aside(self.place("blobs", blob.sha256), f"blob {blob.sha256[:12]}", why)
        return Lost(blob)

    def _is_known(self, place: str, data: bytes) -> bool:
        """Whether a blob is there and holds ``data``; it counts as young then, and is left alone by a sweep."""
        try:
            with open(place, "rb", buffering=0) as file:  # noqa: PTH123 - see _place
                if os.fstat(file.fileno()).st_size != len(data) or file.read() != data:
                    return False
            os.utime(place)
        except OSError:  # not there, or not ours: it is written, which says what is wrong
            return False
        return True

    def _write(self, data: bytes, place: str, mode: int, *, synced: bool | None = None) -> None:
        worth = len(data) >= _WORTH_SYNCING if synced is None else synced
        with disk.explained(self.home):
            drafts = self._drafts()
        try:
            drafts.write(data, place, mode=mode, synced=worth)
        except OSError as error:
            if error.errno in disk.REFUSALS:
                raise self._refused(error) from error
            raise disk.trouble(error, Path(place)) from error

    def _refused(self, error: OSError) -> StoreError:
        """That the disk does not take something; the name of a draft would help nobody."""
        return StoreError(disk.refusal(error, self.home, "the cache"))

    def _drafts(self) -> Drafts:
        """Those of this process, which may be a fork of the one that had some."""
        with self._opening:
            if self._open_drafts is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._open_drafts = self._make_home()
            return self._open_drafts

    def _make_home(self) -> Drafts:
        drafts = Drafts(self.home / "drafts")
        disk.make_folder(self.home / "locks")
        tag = self.root / "CACHEDIR.TAG"
        if not tag.exists():
            drafts.write(_CACHE_TAG, str(tag), mode=_READ_WRITE, synced=False)
        return drafts


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that somebody put in its place is empty, and nobody waits for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)
