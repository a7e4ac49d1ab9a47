"""The answer to a key, as it is kept: two lines, or three.

The first is the question, canonical JSON whose sha256 is the key; the second, sealed, names the blobs that answer it.
The third, sealed too, is a note: an answer that would not be worth a file of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
import xxhash

from modelbuild import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.digest import Digest, Plain

Kind: TypeAlias = Literal["result", "log"]
"""A result enters the keys of what follows; a log (messages, an index of where bytes lie) does not."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content: what it is (sha256), and how to see quickly that it still is (size, xxh3-128)."""

    sha256: Digest
    size: int
    xxh3: str


class Tally:
    """Builds a Blob of pieces as they pass."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.xxh3 = xxhash.xxh3_128()
        self.size = 0

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        self.sha256.update(piece)
        self.xxh3.update(piece)
        self.size += len(piece)

    def blob(self) -> Blob:
        return Blob(self.sha256.hexdigest(), self.size, self.xxh3.hexdigest())


def blob_of(path: Path) -> Blob:
    tally = Tally()
    for piece in digest.pieces(path):
        tally.update(piece)
    return tally.blob()


def blob_of_bytes(data: bytes | memoryview) -> Blob:
    tally = Tally()
    tally.update(data)
    return tally.blob()


@dataclass(frozen=True, slots=True)
class Output:
    blob: Blob
    kind: Kind


@dataclass(frozen=True, slots=True)
class Record:
    """What a stage gave for a key.

    ``question`` is the JSON of everything that the answer depends on. ``references`` are the nameless blobs that the
    outputs speak of by digest: the record is complete only with them. ``seconds`` and ``made`` (UTC) tell of the first
    time. ``note`` is a line of what else there is to say.
    """

    question: bytes
    outputs: Mapping[str, Output]
    references: tuple[Blob, ...]
    seconds: float
    made: str
    note: bytes = b""
    key: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key_of(self.question))

    @staticmethod
    def key_of(question: bytes) -> Digest:
        return digest.of_bytes(question)

    @property
    def fields(self) -> dict[str, Plain]:
        """The question, taken apart."""
        fields: dict[str, Plain] = json.loads(self.question)
        return fields

    @property
    def results(self) -> dict[str, Digest]:
        """What enters the keys of the stages that follow."""
        return {name: output.blob.sha256 for name, output in self.outputs.items() if output.kind == "result"}

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob that must be there for the record to count."""
        return (*(output.blob for output in self.outputs.values()), *self.references)

    @property
    def size(self) -> int:
        return sum(output.blob.size for output in self.outputs.values())

    def encode(self) -> bytes:
        answer: dict[str, Plain] = {
            "outputs": {name: [out.kind, *_listed(out.blob)] for name, out in self.outputs.items()},
            "references": [_listed(blob) for blob in self.references],
            "seconds": self.seconds,
            "made": self.made,
        }
        noted = digest.seal(self.note) if self.note else b""
        return self.question + b"\n" + digest.seal(digest.canonical(answer)) + noted

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Raises ValueError for an answer that is not what `encode` wrote; the question is proved by ``key``."""
        question, *sealed = data.split(b"\n")
        match [digest.unseal(line) for line in sealed]:
            case [bytes(answer), None] if not sealed[-1]:
                note = b""
            case [bytes(answer), bytes(note), None] if not sealed[-1]:
                pass
            case _:
                raise ValueError("the check sum does not fit")
        try:
            said = _DECODER.decode(answer)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a record: {error}") from error
        outputs = {
            name: Output(Blob(sha256, size, xxh3), kind) for name, (kind, sha256, size, xxh3) in said.outputs.items()
        }
        return cls(question, outputs, tuple(Blob(*blob) for blob in said.references), said.seconds, said.made, note)


_Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Xxh3: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class _Answer(msgspec.Struct, frozen=True):
    """The second line of a record. By a schema: a build with nothing to convert does little else than read these."""

    outputs: dict[str, tuple[Kind, _Sha256, _Size, _Xxh3]]
    references: list[tuple[_Sha256, _Size, _Xxh3]]
    seconds: float
    made: str


# Not at first use: msgspec shows other threads a struct that one is still taking apart, and the process crashes.
_DECODER = msgspec.json.Decoder(_Answer)


def _listed(blob: Blob) -> list[Plain]:
    return [blob.sha256, blob.size, blob.xxh3]
