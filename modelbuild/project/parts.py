"""What one model gives to the report, kept so that after one change the others' are taken over as they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modelbuild.report.document import Artifact, Source
from modelbuild.report.page import Column, Facts, row
from modelbuild.report.text import Lines


class Part(msgspec.Struct, frozen=True):
    """``said`` is the digest of all that the rest was made of."""

    said: str
    artifacts: str
    choices: str
    source: str
    row: str
    facts: Facts

    @property
    def lines(self) -> Lines:
        return Lines(self.artifacts.encode(), self.choices.encode(), self.source.encode())


_DECODER = msgspec.json.Decoder(Part)


def part(said: str, model: str, source: Source, artifacts: Sequence[Artifact], columns: Sequence[Column]) -> Part:
    ordered = sorted(artifacts, key=lambda artifact: artifact.variant)
    lines = Lines.of(model, source, ordered)
    return Part(
        said,
        lines.artifacts.decode(),
        lines.choices.decode(),
        lines.source.decode(),
        str(row(model, source, ordered, columns)),
        Facts.of(ordered),
    )


def encode(part: Part) -> bytes:
    return msgspec.json.encode(part)


def decode(note: bytes | None) -> Part | None:
    """None if there is none, or another version wrote it."""
    try:
        return None if note is None else _DECODER.decode(note)
    except msgspec.DecodeError:
        return None
