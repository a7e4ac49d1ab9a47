"""What a stage writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from modelbuild import disk
from modelbuild.errors import Bug
from modelbuild.store import Blob, Kind, Output, Store
from modelbuild.store.record import Tally, blob_of_bytes

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_WORTH_A_THREAD = 256 << 10


@dataclass(frozen=True, slots=True)
class HandedOver:
    name: str
    value: Any
    copy: Callable[[Any], Any]


class Draft:
    """A file that is hashed as it is written, in a second thread where pieces are big."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._tally = Tally()
        self._thread: ThreadPoolExecutor | None = None

    def write(self, piece: bytes | bytearray | memoryview) -> int:
        """Append ``piece``, whose buffer is the caller's again afterwards."""
        view = memoryview(piece).cast("B")
        if len(view) < _WORTH_A_THREAD:
            self._tally.update(view)
            return self._file.write(view)
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, "hash")
        counting = self._thread.submit(self._tally.update, view)
        try:
            return self._file.write(view)
        finally:
            counting.result()

    def close(self) -> Blob:
        if self._thread is not None:
            self._thread.shutdown()
        return self._tally.blob()


class Outputs:
    """Named files, each a ``result`` (enters the keys of what follows) or a ``log`` (does not), and nameless blobs.

    Names are the stage's own, with ``/`` if it likes. Nothing is in the store before the stage has returned, except
    nameless blobs, which nobody finds without the record.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._kinds: dict[str, Kind] = {}
        self._counted: dict[str, Blob] = {}
        self._references: dict[str, Blob] = {}
        self._adopted: dict[str, Output] = {}
        self.handed_over: list[HandedOver] = []

    def path(self, name: str, kind: Kind = "result") -> Path:
        """Where to write ``name``, for those who want a path; read once more to be hashed."""
        if name in self._kinds:
            raise Bug(f"output {name!r} is written twice")
        if name.startswith("/") or ".." in name.split("/"):
            raise Bug(f"output {name!r} leaves the folder")
        path = self._folder / name
        disk.make_folder(path.parent)
        self._kinds[name] = kind
        return path

    @contextmanager
    def create(self, name: str, kind: Kind = "result") -> Iterator[Draft]:
        """Write ``name`` in pieces."""
        with self.path(name, kind).open("wb") as file:
            draft = Draft(file)
            try:
                yield draft
            finally:
                blob = draft.close()
        self._counted[name] = blob

    def write(self, name: str, data: bytes, kind: Kind = "result") -> None:
        with self.create(name, kind) as draft:
            draft.write(data)

    def blob(self, data: bytes | memoryview) -> Blob:
        """Keep nameless content that a result speaks of by digest."""
        draft = self._folder / f".blob-{len(self._references)}"
        draft.write_bytes(data)
        return self.refer(self._store.take(draft, blob_of_bytes(data)))

    def refer(self, blob: Blob) -> Blob:
        """Say that a result speaks of ``blob`` (one of `Inputs.known`): the answer is complete only with it."""
        self._references[blob.sha256] = blob
        return blob

    def adopt(self, name: str, blob: Blob, kind: Kind = "result") -> None:
        """Make a blob of the store (one of `Inputs.output`) the output ``name``; nothing is read or copied."""
        if name in self._kinds or name in self._adopted:
            raise Bug(f"output {name!r} is written twice")
        self._adopted[name] = Output(blob, kind)

    def hand_over(self, name: str, value: T, copy: Callable[[T], T]) -> None:
        """Offer ``value``, what a reader of output ``name`` would parse, to the next stage of this process.

        ``copy`` makes one that can be changed without changing ``value``; the object itself if it is immutable.
        """
        self.handed_over.append(HandedOver(name, value, copy))

    def taken(self) -> tuple[dict[str, Output], tuple[Blob, ...]]:
        """Move everything into the store: the outputs by name, the references in order."""
        below = f"{self._folder}/"
        written = {f"{at}/{name}".removeprefix(below) for at, _, names in os.walk(self._folder) for name in names}
        if stray := sorted(written - self._kinds.keys()):
            raise Bug(f"files that are no output: {', '.join(stray)}")
        outputs = {
            name: Output(self._store.take(self._folder / name, self._counted.get(name)), kind)
            for name, kind in sorted(self._kinds.items())
        }
        outputs = dict(sorted((outputs | self._adopted).items()))
        return outputs, tuple(self._references[sha256] for sha256 in sorted(self._references))
