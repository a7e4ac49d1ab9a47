"""What a stage writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modelbuild import disk
from modelbuild.errors import Bug
from modelbuild.store import Blob, Kind, Output, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HandedOver:
    name: str
    value: Any
    copy: Callable[[Any], Any]


class Outputs:
    """Named files, each a ``result`` (enters the keys of what follows) or a ``log`` (does not), and nameless blobs.

    Names are the stage's own, with ``/`` if it likes. Nothing is in the store before the stage has returned, except
    nameless blobs, which nobody finds without the record.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._kinds: dict[str, Kind] = {}
        self._contents: dict[str, tuple[bytes, Kind]] = {}
        self._references: dict[str, Blob] = {}
        self._adopted: dict[str, Output] = {}
        self.handed_over: list[HandedOver] = []

    def path(self, name: str, kind: Kind = "result") -> Path:
        """Where to write ``name``, for those who want a path; read once more to be hashed."""
        self._admit(name)
        path = self._folder / name
        if "/" in name:
            disk.make_folder(path.parent)
        self._kinds[name] = kind
        return path

    def write(self, name: str, data: bytes, kind: Kind = "result") -> None:
        """Have output ``name`` hold ``data``."""
        self._admit(name)
        self._contents[name] = data, kind

    def blob(self, data: bytes) -> Blob:
        """Keep nameless content that a result speaks of by digest."""
        return self.refer(self._store.put(data))

    def refer(self, blob: Blob) -> Blob:
        """Say that a result speaks of ``blob`` (one of `Inputs.known`): the answer is complete only with it."""
        self._references[blob.sha256] = blob
        return blob

    def adopt(self, name: str, blob: Blob, kind: Kind = "result") -> None:
        """Make a blob of the store (one of `Inputs.output`) the output ``name``; nothing is read or copied."""
        self._admit(name)
        self._adopted[name] = Output(blob, kind)

    def hand_over(self, name: str, value: T, copy: Callable[[T], T]) -> None:
        """Offer ``value``, what a reader of output ``name`` would parse, to the next stage of this process.

        ``copy`` makes one that can be changed without changing ``value``; the object itself if it is immutable.
        """
        self.handed_over.append(HandedOver(name, value, copy))

    def taken(self) -> tuple[dict[str, Output], tuple[Blob, ...]]:
        """Move everything into the store: the outputs by name, the references in order."""
        if self._kinds:
            self._refuse_strays()
        outputs = {name: Output(self._store.put(data), kind) for name, (data, kind) in self._contents.items()}
        outputs |= {name: Output(self._store.take(self._folder / name), kind) for name, kind in self._kinds.items()}
        outputs |= self._adopted
        return dict(sorted(outputs.items())), tuple(self._references[sha256] for sha256 in sorted(self._references))

    def _refuse_strays(self) -> None:
        below = f"{self._folder}/"
        written = {f"{at}/{name}".removeprefix(below) for at, _, names in os.walk(self._folder) for name in names}
        if stray := sorted(written - self._kinds.keys()):
            raise Bug(f"files that are no output: {', '.join(stray)}")

    def _admit(self, name: str) -> None:
        if name.startswith("/") or ".." in name.split("/"):
            raise Bug(f"output {name!r} leaves the folder")
        if name in self._kinds or name in self._contents or name in self._adopted:
            raise Bug(f"output {name!r} is written twice")
