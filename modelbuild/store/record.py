"""The answer to a key, as it is kept: two lines.

The first is the question, canonical JSON whose sha256 is the key; the second, sealed, names the blobs that answer it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import xxhash

from modelbuild import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.digest import Digest, Plain

Kind: TypeAlias = Literal["result", "log"]
"""A result enters the keys of what follows; a log (messages, an index of where bytes lie) does not."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_XXH3 = re.compile(r"[0-9a-f]{32}")


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


@dataclass(frozen=True, slots=True)
class Output:
    blob: Blob
    kind: Kind


@dataclass(frozen=True, slots=True)
class Record:
    """What a stage gave for a key.

    ``question`` is the JSON of everything that the answer depends on. ``references`` are the nameless blobs that the
    outputs speak of by digest: the record is complete only with them. ``seconds`` and ``made`` (UTC) tell of the first
    time.
    """

    question: bytes
    outputs: Mapping[str, Output]
    references: tuple[Blob, ...]
    seconds: float
    made: str
    key: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", digest.of_bytes(self.question))

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
        return self.question + b"\n" + digest.seal(digest.canonical(answer))

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Raises ValueError for an answer that is not what `encode` wrote; the question is proved by ``key``."""
        question, _, sealed = data.partition(b"\n")
        answer = digest.unseal(sealed)
        if answer is None:
            raise ValueError("the check sum does not fit")
        match json.loads(answer):
            case {
                "outputs": dict(outputs),
                "references": list(references),
                "seconds": float(seconds),
                "made": str(made),
            }:
                return cls(
                    question,
                    {name: _output(listed) for name, listed in outputs.items()},
                    tuple(_blob(listed) for listed in references),
                    seconds,
                    made,
                )
        raise ValueError("not a record")


def _listed(blob: Blob) -> list[Plain]:
    return [blob.sha256, blob.size, blob.xxh3]


def _output(listed: Any) -> Output:
    match listed:
        case [kind, *blob] if kind in get_args(Kind):
            return Output(_blob(blob), kind)
    raise ValueError(f"not an output: {listed!r}")


def _blob(listed: Any) -> Blob:
    match listed:
        case [str(sha256), int(size), str(xxh3)] if _SHA256.fullmatch(sha256) and _XXH3.fullmatch(xxh3) and size >= 0:
            return Blob(sha256, size, xxh3)
    raise ValueError(f"not a blob: {listed!r}")
