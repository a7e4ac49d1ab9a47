"""What all stages of an artifact gave, as one answer of the store: who finds it need not plan, or ask any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import msgspec

from modelbuild.project import shared
from modelbuild.project.shared import SharedNote
from modelbuild.stages.names import delivered

if TYPE_CHECKING:
    from modelbuild.digest import Digest
    from modelbuild.store import Blob, LocalStore

_DELIVERED = frozenset(delivered("").values())
_Key: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Whole(NamedTuple):
    """``keys`` by stage were answered, ``blobs`` by output are delivered: the pair and where it comes from.

    ``entry`` is what the report says of it, ``notes`` are for people; ``seconds`` is what its stages took.
    """

    keys: Mapping[str, Digest]
    blobs: Mapping[str, Blob]
    entry: bytes
    notes: tuple[str, ...]
    seconds: float


class _Note(msgspec.Struct, frozen=True):
    keys: dict[str, _Key]
    entry: msgspec.Raw
    notes: tuple[str, ...]


_DECODER = msgspec.json.Decoder(_Note)
_ENCODER = msgspec.json.Encoder(order="deterministic")


def read(store: LocalStore, question: bytes) -> Whole | None:
    """None where nobody made it yet, or what says so is damaged or written by others."""
    found = shared.read(store, question)
    if found is None:
        return None
    try:
        said = _DECODER.decode(found.note)
    except msgspec.DecodeError:
        return None
    if "package" not in said.keys or not found.blobs.keys() >= _DELIVERED:
        return None
    return Whole(said.keys, found.blobs, bytes(said.entry), said.notes, found.seconds)


def write(store: LocalStore, question: bytes, whole: Whole) -> None:
    note = _ENCODER.encode(_Note(dict(whole.keys), msgspec.Raw(whole.entry), whole.notes))
    shared.write(store, question, SharedNote(note, whole.blobs, whole.seconds))
