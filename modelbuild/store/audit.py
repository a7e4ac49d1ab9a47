"""Reading everything that a store holds, to find what is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import disk
from modelbuild.errors import StoreError
from modelbuild.store.layout import blob_files, foreign, record_files
from modelbuild.store.record import Blob, Record, blob_of

if TYPE_CHECKING:
    from modelbuild.digest import Digest
    from modelbuild.store.local import LocalStore


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. ``path`` is in the way; None where only a person can mend it."""

    what: str
    why: str
    path: Path | None

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def audit(store: LocalStore) -> Iterator[Finding]:
    """Hold every blob against its name, every record against its key and its blobs. Changes nothing."""
    with disk.explained(store.home):
        for path in foreign(store.home):
            yield Finding(path.relative_to(store.home).as_posix(), "is none of ours", path)
        records = list(record_files(store.home))  # before the blobs: a build may publish more, blobs first
        whole: dict[Digest, Blob] = {}
        for sha256, path in blob_files(store.home):
            blob = blob_of(path)
            if blob.sha256 == sha256:
                whole[sha256] = blob
            else:
                yield Finding(f"blob {sha256[:12]}", f"holds other bytes, {blob.sha256[:12]}", path)
        for key, path in records:
            if path.exists():  # no sweep was quicker
                yield from _of_record(key, path, whole)
        yield from _of_pins(store)


def repair(store: LocalStore) -> list[Finding]:
    """Set aside what `audit` finds in the way; what is missing then is made again when it is asked for.

    A damaged pin is left: what it held would be lost without a word.
    """
    found = list(audit(store))
    for finding in found:
        if finding.path is not None:
            store.set_aside(finding.path, finding.what, finding.why)
    store.damage.clear()
    return found


def _of_pins(store: LocalStore) -> Iterator[Finding]:
    for name in store.pins.names():
        try:
            store.pins.keys(name)
        except StoreError as error:
            yield Finding(f"pin {name}", str(error), None)


def _of_record(key: Digest, path: Path, whole: dict[Digest, Blob]) -> Iterator[Finding]:
    try:
        record = Record.decode(path.read_bytes())
    except ValueError as error:
        yield Finding(f"record {key[:12]}", str(error), path)
        return
    if record.key != key:
        yield Finding(f"record {key[:12]}", f"answers another key, {record.key[:12]}", path)
        return
    for blob in record.blobs:
        found = whole.get(blob.sha256)
        if found is None:
            yield Finding(f"record {key[:12]}", f"its blob {blob.sha256[:12]} is not there", path)
            return
        elif found != blob:
            yield Finding(f"record {key[:12]}", f"says another size or check sum of blob {blob.sha256[:12]}", path)
