"""The one JSON text of a report, put together of what each model gives to it, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from modelbuild.errors import SourceError
from modelbuild.report.choice import choices
from modelbuild.report.document import FORMAT, Artifact, Report, Source

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

    artifacts: bytes
    choices: bytes
    source: bytes

    @classmethod
    def of(cls, model: str, source: Source, artifacts: Sequence[Artifact]) -> Lines:
        """``artifacts`` in their order."""
        return cls(
            _listed(artifacts),
            _listed(choices(artifacts, source.limits)),
            b"    %s: %s" % (msgspec.json.encode(model), _indented(source)),
        )


def encode(report: Report) -> bytes:
    """The one JSON text of a report."""
    by_model: dict[str, list[Artifact]] = {name: [] for name in report.sources}
    for artifact in report.artifacts:
        by_model[artifact.model].append(artifact)
    lines = [Lines.of(name, report.sources[name], artifacts) for name, artifacts in by_model.items()]
    return b"".join(joined(lines))


def joined(models: Sequence[Lines]) -> Iterator[bytes]:
    """The text of a report of ``models``, in the order of their names; in pieces, because of thousands it is long."""
    yield b'{\n  "artifacts": '
    yield from _within(b"[]", [lines.artifacts for lines in models])
    yield b',\n  "choices": '
    yield from _within(b"[]", [lines.choices for lines in models])
    yield b',\n  "format": %d,\n  "sources": ' % FORMAT
    yield from _within(b"{}", [lines.source for lines in models])
    yield b"\n}\n"


def _within(brackets: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    found = [line for line in lines if line]
    if not found:
        yield brackets
        return
    before = b"%c\n" % brackets[0]
    for line in found:
        yield before
        yield line
        before = b",\n"
    yield b"\n  %c" % brackets[1]


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
