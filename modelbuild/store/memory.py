"""A store that forgets: the fake for tests of what is built on stores."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict, deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.store.interface import Damage, Lost
from modelbuild.store.record import Blob, Record, blob_of, blob_of_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.digest import Digest


class MemoryStore:
    """Records and blobs in dictionaries, which a test may look into and spoil.

    Blobs that are asked for by path, and drafts, are files below ``folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.damage: deque[Damage] = deque()
        self.records: dict[Digest, bytes] = {}
        self.blobs: dict[Digest, bytes] = {}
        self._locks: defaultdict[Digest, threading.Lock] = defaultdict(threading.Lock)

    def record(self, key: Digest) -> Record | None:
        return Record.decode(self.records[key]) if key in self.records else None

    def missing(self, record: Record) -> list[Blob]:
        return [blob for blob in record.blobs if len(self.blobs.get(blob.sha256, b"")) != blob.size]

    def recall(self, key: Digest) -> Record | None:
        found = self.record(key)
        return None if found is None or self.missing(found) else found

    def path(self, blob: Blob) -> Path:
        if blob.sha256 not in self.blobs:
            raise Lost(blob)
        path = self._folder / blob.sha256
        path.write_bytes(self.blobs[blob.sha256])
        if blob_of(path) != blob:
            del self.blobs[blob.sha256]
            self.damage.append(Damage(f"blob {blob.sha256[:12]}", "other bytes"))
            raise Lost(blob)
        return path

    def read(self, blob: Blob) -> bytes:
        return self.path(blob).read_bytes()

    def copy(self, blob: Blob, target: Path) -> None:
        target.write_bytes(self.path(blob).read_bytes())

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="work-") as folder:
            yield Path(folder)

    def take(self, draft: Path, blob: Blob | None = None) -> Blob:
        counted = blob or blob_of(draft)
        self.blobs[counted.sha256] = draft.read_bytes()
        draft.unlink()
        return counted

    def put(self, data: bytes) -> Blob:
        blob = blob_of_bytes(data)
        self.blobs[blob.sha256] = data
        return blob

    def publish(self, record: Record) -> None:
        self.records[record.key] = record.encode()

    def used(self, *keys: Digest) -> None:
        """It never makes room."""

    @contextmanager
    def lock(self, key: Digest, patience: float) -> Iterator[bool]:
        mine = self._locks[key].acquire(timeout=patience)
        try:
            yield mine
        finally:
            if mine:
                self._locks[key].release()

    def keys(self) -> Iterator[Digest]:
        yield from sorted(self.records)
