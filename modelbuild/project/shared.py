"""Notes that lie in the store: whoever asks the same in another checkout, or lost everything else, finds them there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.store import Output, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelbuild.store import Blob, LocalStore


class SharedNote(NamedTuple):
    """``blobs`` by name are what the note, a line, speaks of, ``seconds`` what it took to find all of that out."""

    note: bytes
    blobs: Mapping[str, Blob]
    seconds: float


def read(store: LocalStore, question: bytes) -> SharedNote | None:
    """What was noted to a question, which is JSON."""
    record = store.recall(Record.key_of(question))
    if record is None or not record.note:
        return None
    return SharedNote(record.note, {name: output.blob for name, output in record.outputs.items()}, record.seconds)


def write(store: LocalStore, question: bytes, noted: SharedNote) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    outputs = {name: Output(blob, "log") for name, blob in sorted(noted.blobs.items())}
    store.publish(Record(question, outputs, (), noted.seconds, now, noted.note))
