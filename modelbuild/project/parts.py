"""What one model gives to the report, kept so that after one change the others' are taken over as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from modelbuild.digest import Digest
from modelbuild.report import page
from modelbuild.report.document import Artifact, Source
from modelbuild.report.page import Column, Facts
from modelbuild.report.pieces import Piece
from modelbuild.report.text import Lines


class Part(NamedTuple):
    """``said`` is the digest of all that the rest was made of; None if that is told just now, and never again."""

    said: Digest | None
    lines: Lines
    row: Piece
    facts: Facts


class _Note(msgspec.Struct, frozen=True):
    artifacts: str
    choices: str
    source: str
    row: str
    facts: Facts


_DECODER = msgspec.json.Decoder(_Note)


def part(
    said: Digest | None, model: str, source: Source, artifacts: Sequence[Artifact], columns: Sequence[Column]
) -> Part:
    ordered = sorted(artifacts, key=lambda artifact: artifact.variant)
    lines = Lines.of(model, source, ordered)
    return Part(said, lines, page.row(model, source, ordered, columns).encode(), Facts.of(ordered))


def encode(part: Part) -> bytes:
    artifacts, choices, source, row = (bytes(piece).decode() for piece in (*part.lines, part.row))
    return msgspec.json.encode(_Note(artifacts, choices, source, row, part.facts))


def decode(note: bytes, said: Digest) -> Part | None:
    """None if another version wrote it."""
    try:
        found = _DECODER.decode(note)
    except msgspec.DecodeError:
        return None
    lines = Lines(found.artifacts.encode(), found.choices.encode(), found.source.encode())
    return Part(said, lines, found.row.encode(), found.facts)
