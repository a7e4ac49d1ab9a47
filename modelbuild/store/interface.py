"""What any store can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from modelbuild.digest import Digest
    from modelbuild.store.record import Blob, Record


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a store that was not what its name says, and was set aside."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; set aside, it will be made again"


class Lost(Exception):
    """A blob that a record promised is not there any more, or was damaged and is now set aside."""

    def __init__(self, blob: Blob) -> None:
        super().__init__(f"blob {blob.sha256} is gone")
        self.blob = blob


class Store(Protocol):
    """Blobs by what they are, records by what was asked. Every method may raise StoreError; none waits but `lock`."""

    @property
    def damage(self) -> deque[Damage]:
        """What was found damaged and set aside; whoever tells people takes it from here."""

    def record(self, key: Digest) -> Record | None:
        """What was answered to ``key``, whether or not its blobs are still here."""

    def missing(self, record: Record) -> list[Blob]:
        """The blobs of ``record`` that are not here in their right size. Reads nothing."""

    def recall(self, key: Digest) -> Record | None:
        """What was answered to ``key``, if all its blobs are here."""

    def path(self, blob: Blob) -> Path:
        """Where to read ``blob``, just checked to be undamaged. Raises Lost. Nobody writes there."""

    def read(self, blob: Blob) -> bytes:
        """What ``blob`` holds, a small one, checked. Raises Lost."""

    def copy(self, blob: Blob, target: Path) -> None:
        """Make the new file ``target`` hold ``blob``, checked on the way; raises Lost, leaving no file, or OSError."""

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty folder for drafts; what is left in it is gone afterwards. A disk full in the block: StoreError."""

    def take(self, draft: Path, blob: Blob | None = None) -> Blob:
        """Move a finished file of a `scratch` folder in. ``blob``, if the writer has counted along, saves a reading."""

    def put(self, data: bytes) -> Blob:
        """Take in what is in memory."""

    def publish(self, record: Record) -> None:
        """Make ``record`` the answer to its key. All its blobs have been taken."""

    def used(self, *keys: Digest) -> None:
        """Remember that the answers to ``keys`` were of use just now: what was not for longest goes first."""

    def lock(self, key: Digest, patience: float) -> AbstractContextManager[bool]:
        """Keep others from working on ``key``; False if somebody else has it for ``patience`` seconds already.

        Advice, to save double work: publishing is safe without.
        """

    def keys(self) -> Iterator[Digest]:
        """The keys of all records, in order."""
