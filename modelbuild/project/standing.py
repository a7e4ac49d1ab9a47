"""The report as it stands: what each model gave to it is taken over from there, unless there is more to say now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import xxhash

from modelbuild.digest import Digest
from modelbuild.project import sealed
from modelbuild.project.parts import Part
from modelbuild.report.page import Facts
from modelbuild.report.pieces import Pieces, Span
from modelbuild.report.text import Places


class _Place(msgspec.Struct, frozen=True, array_like=True):
    said: Digest
    lines: Places
    row: Span
    facts: Facts


class _Index(msgspec.Struct, frozen=True):
    """``sums`` are the xxh3 of the text and of the page in which ``models`` lie."""

    sums: tuple[str, str]
    models: dict[str, _Place]


_DECODER = msgspec.json.Decoder(_Index)


class Standing:
    """``text`` and ``page`` are the files of the report, ``index`` says what in them is whose."""

    def __init__(self, text: Path, page: Path, index: Path) -> None:
        self._files = text, page
        self._path = index

    @property
    def said(self) -> Mapping[str, Digest]:
        """By model, the digest of all that its part was made of."""
        return {name: place.said for name, place in self._index.models.items()}

    def parts(self) -> Mapping[str, Part]:
        """By model; nothing if somebody has changed one of the files."""
        if not self._index.models or not all(path.is_file() for path in self._files):
            return {}
        text, page = (path.read_bytes() for path in self._files)
        if (xxhash.xxh3_128_hexdigest(text), xxhash.xxh3_128_hexdigest(page)) != self._index.sums:
            return {}
        lines, rows = memoryview(text), memoryview(page)
        return {
            name: Part(place.said, place.lines.of(lines), place.row.of(rows), place.facts)
            for name, place in self._index.models.items()
        }

    def note(
        self, text: Pieces, page: Pieces, parts: Mapping[str, Part], lines: Sequence[Places], rows: Sequence[Span]
    ) -> None:
        """``lines`` and ``rows`` are where each of ``parts`` lies in the ``text`` and ``page`` just written."""
        models = {
            name: _Place(part.said, its_lines, its_row, part.facts)
            for (name, part), its_lines, its_row in zip(parts.items(), lines, rows, strict=True)
            if part.said is not None
        }
        self._index = _Index((text.xxh3(), page.xxh3()), models)
        sealed.write(self._path, msgspec.json.encode(self._index))

    @cached_property
    def _index(self) -> _Index:
        note = sealed.read(self._path)
        try:
            return _Index(("", ""), {}) if note is None else _DECODER.decode(note)
        except msgspec.DecodeError:  # another version wrote it
            return _Index(("", ""), {})
