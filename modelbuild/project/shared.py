"""Notes that lie in the store: whoever asks the same in another checkout, or lost everything else, finds them there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.store import Lost, Output, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelbuild.store import Blob, LocalStore

_NOTE = "note.json"


class SharedNote(NamedTuple):
    """``blobs`` by name are what the note speaks of, ``seconds`` what it took to find all of that out."""

    note: bytes
    blobs: Mapping[str, Blob]
    seconds: float


def read(store: LocalStore, question: bytes) -> SharedNote | None:
    """What was noted to a question, which is JSON."""
    record = store.recall(Record.key_of(question))
    if record is None or _NOTE not in record.outputs:
        return None
    blobs = {name: output.blob for name, output in record.outputs.items()}
    try:
        return SharedNote(store.read(blobs.pop(_NOTE)), blobs, record.seconds)
    except Lost:  # whoever finds it out again notes it again
        return None


def write(store: LocalStore, question: bytes, noted: SharedNote) -> None:
    blobs = {**noted.blobs, _NOTE: store.put(noted.note)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    outputs = {name: Output(blob, "log") for name, blob in sorted(blobs.items())}
    store.publish(Record(question, outputs, (), noted.seconds, now))
