"""The one JSON text of a report, put together of what each model gives to it, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from modelbuild.errors import SourceError
from modelbuild.report.choice import choices
from modelbuild.report.document import FORMAT, Artifact, Report, Source
from modelbuild.report.pieces import Piece, Pieces, Span

SHIPPED = Path(__file__).with_name("report.schema.json")


def document(artifacts: Iterable[Artifact], sources: Mapping[str, Source]) -> Report:
    """The report of these artifacts, in one order whatever the order they come in; each model has its source."""
    ordered = sorted(artifacts, key=lambda artifact: (artifact.model, *artifact.variant))
    if strangers := sorted({artifact.model for artifact in ordered} - sources.keys()):
        raise ValueError(f"artifacts of models without a source: {', '.join(strangers)}")
    by_model = groupby(ordered, key=lambda artifact: artifact.model)
    chosen = [choice for name, found in by_model for choice in choices(found, sources[name].limits)]
    return Report(sources=dict(sorted(sources.items())), artifacts=tuple(ordered), choices=tuple(chosen))


class Lines(NamedTuple):
    """What one model gives to the text of a report, without the commas between models."""

    artifacts: Piece
    choices: Piece
    source: Piece

    @classmethod
    def of(cls, model: str, source: Source, artifacts: Sequence[Artifact]) -> Lines:
        """``artifacts`` in their order."""
        return cls(
            _listed(artifacts),
            _listed(choices(artifacts, source.limits)),
            b"    %s: %s" % (msgspec.json.encode(model), _indented(source)),
        )


class Places(NamedTuple):
    """Where the lines of one model lie in the text of a report."""

    artifacts: Span
    choices: Span
    source: Span

    def of(self, text: memoryview) -> Lines:
        return Lines(self.artifacts.of(text), self.choices.of(text), self.source.of(text))


def encode(report: Report) -> bytes:
    """The one JSON text of a report."""
    by_model: dict[str, list[Artifact]] = {name: [] for name in report.sources}
    for artifact in report.artifacts:
        by_model[artifact.model].append(artifact)
    text = Pieces()
    join([Lines.of(name, report.sources[name], artifacts) for name, artifacts in by_model.items()], text)
    return text.whole()


def join(models: Sequence[Lines], text: Pieces) -> list[Places]:
    """Put the report of ``models``, in the order of their names, into ``text``; says where the lines of each lie."""
    text.add(b'{\n  "artifacts": ')
    artifacts = _put(b"[]", [lines.artifacts for lines in models], text)
    text.add(b',\n  "choices": ')
    choices = _put(b"[]", [lines.choices for lines in models], text)
    text.add(b',\n  "format": %d,\n  "sources": ' % FORMAT)
    sources = _put(b"{}", [lines.source for lines in models], text)
    text.add(b"\n}\n")
    return list(map(Places, artifacts, choices, sources))


def _put(brackets: bytes, lines: Sequence[Piece], text: Pieces) -> list[Span]:
    """``lines`` within ``brackets``, those that are empty left out."""
    before, after = (b"%c\n" % brackets[0], b"\n  %c" % brackets[1]) if any(lines) else (b"", brackets)
    spans: list[Span] = []
    for line in lines:
        if line:
            text.add(before)
            before = b",\n"
        spans.append(text.add(line))
    text.add(after)
    return spans


def _listed(said: Iterable[Struct]) -> bytes:
    return b",\n".join(b"    " + _indented(one) for one in said)


def _indented(said: Struct) -> bytes:
    text = msgspec.json.format(msgspec.json.encode(said, order="sorted"), indent=2)
    return text.replace(b"\n", b"\n    ")


def decode(content: bytes, name: str) -> Report:
    """The inverse of `encode`; ``name`` is what a ``SourceError`` calls the file."""
    try:
        return msgspec.json.decode(content, type=Report)
    except msgspec.DecodeError as error:
        raise SourceError(f"{name}: is no report of this version: {error}") from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    (top,), definitions = msgspec.json.schema_components((Report,), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelbuild report",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """``json_schema()`` as it is shipped in ``report.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=2).decode() + "\n"
