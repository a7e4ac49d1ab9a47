"""``build/report.json`` and ``build/report.html``: what is noted of the artifacts that are there."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modelbuild import digest, disk, flock
from modelbuild.project import delivery, sealed, shared
from modelbuild.project.ledger import Ledger
from modelbuild.project.shared import SharedNote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from modelbuild.digest import Digest
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.memo import Memo
    from modelbuild.project.builds import Builds
    from modelbuild.project.entries import Entry, Measured
    from modelbuild.project.meanwhile import Meanwhile
    from modelbuild.project.parts import Part
    from modelbuild.project.question import Questions
    from modelbuild.project.stamp import Stamps
    from modelbuild.project.standing import Standing
    from modelbuild.report.page import Column
    from modelbuild.report.pieces import Pieces

_PATIENCE = 60.0
_ENCODER = msgspec.json.Encoder()


class Reporting:
    """What is said of artifacts is noted one by one when they are made, so that a report reads no records.

    Parts of models that did not change are copied from the last report.
    """

    def __init__(
        self,
        manifest: Manifest,
        stamps: Stamps,
        memo: Memo,
        questions: Questions,
        builds: Builds,
        *,
        meanwhile: Meanwhile,
        cache: Path,
        output: Path,
    ) -> None:
        self._manifest = manifest
        self._cache = cache
        self._output = output
        self._stamps = stamps
        self._memo = memo
        self._questions = questions
        self._builds = builds
        self._meanwhile = meanwhile
        self._ledger = Ledger(cache / "entries")
        self._rejected: dict[Variant, Measured] = {}
        self._news: dict[str, set[Variant]] = {}
        self._prepared: dict[str, Part] = {}

    # ---- of one artifact ----

    def holds(self, variant: Variant, check_sum: str) -> bool:
        """Whether what `note` gave that check sum of is what is noted last."""
        note = self._note(variant)
        return note is not None and digest.check_sum(note) == check_sum

    def noted(self, variant: Variant) -> Entry | None:
        """What was noted when this was last made here; whether it still holds, the checkout knows."""
        from modelbuild.project import entries

        note = self._note(variant)
        return None if note is None else entries.decode(note)

    def note(self, variant: Variant, entry: bytes) -> str:
        """Gives the check sum that the artifact's stamp is to hold."""
        self._ledger.write(delivery.place(variant), entry)
        model = self._manifest.models[variant.model]
        news = self._news.setdefault(model.id, set())
        news.add(variant)
        if news.issuperset(model.variants()):
            news.clear()
            self._meanwhile.leave(model.id, partial(self._prepare, model))
        return digest.check_sum(entry)

    def reject(self, variant: Variant, measured: Measured) -> None:
        """Remember for the next report what was measured of an artifact that exceeds a limit."""
        self._rejected[variant] = measured

    def _note(self, variant: Variant) -> bytes | None:
        return self._ledger.read(delivery.place(variant))

    def forget(self, variant: Variant) -> None:
        self._ledger.forget(delivery.place(variant))

    # ---- of all ----

    def is_current(self) -> bool:
        if not self._stamp.is_file():
            return False
        with self._undisturbed():
            return sealed.read(self._stamp) == self._state()

    def write(self, failures: Mapping[Variant, Sequence[str]] | None = None) -> list[Path]:
        """Write the report of what is built, and of what failed just now; says which files changed."""
        from modelbuild.report.page import frame
        from modelbuild.report.pieces import Pieces
        from modelbuild.report.text import join

        failures = failures or {}
        self._meanwhile.do()
        there = [variant for variant in self._manifest.variants() if variant in failures or self._stamps.of(variant)]
        columns = _columns(there)
        asked: dict[str, list[Variant]] = {}
        for variant in there:
            asked.setdefault(variant.model, []).append(variant)
        kept = {**self._standing.parts(), **self._prepared}
        self._prepared.clear()
        parts: dict[str, Part] = {}
        for name in sorted(asked):
            part = self._part(self._manifest.models[name], asked[name], columns, failures, kept.get(name))
            if part is not None:
                parts[name] = part
        text, page = Pieces(), Pieces()
        lines = join([part.lines for part in parts.values()], text)
        rows = frame([part.row for part in parts.values()], [part.facts for part in parts.values()], columns, page)
        with self._undisturbed():
            written = self._put(text, page)
            self._standing.note(text, page, parts, lines, rows)
            sealed.write(self._stamp, b"failed" if failures else self._state())
        return written

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """While no other build of this checkout writes the report, which would change under whoever reads it."""
        with disk.explained(self._cache):
            disk.make_folder(self._cache)
            with flock.folder_held(self._cache, _PATIENCE):
                yield

    def clean(self, *, dry: bool = False) -> list[Path]:
        """Take the report away; says what goes, which ``dry`` leaves."""
        paths = [path for name in delivery.REPORTS if (path := self._output / name).is_file()]
        for path in () if dry else (*paths, self._stamp):
            path.unlink(missing_ok=True)
        return paths

    def _part(
        self,
        model: Model,
        asked: Sequence[Variant],
        columns: Sequence[Column],
        failures: Mapping[Variant, Sequence[str]],
        kept: Part | None,
    ) -> Part | None:
        """What a model gives to the report, unless it is what was ``kept``; None if nothing is known of it."""
        notes = {variant: note for variant in asked if variant not in failures and (note := self._note(variant))}
        broken = {variant: (failures[variant], self._rejected.get(variant)) for variant in asked if variant in failures}
        question = self._question(columns, notes)
        said = digest.of_bytes(question)
        if not broken and kept is not None and kept.said == said:
            return kept
        from modelbuild.project import entries, parts

        known = None if broken else shared.read(self._builds.store, question)
        if known is not None and (made := parts.decode(known.note, said)) is not None:
            return made
        found = [entry for note in notes.values() if (entry := entries.decode(note)) is not None]
        artifacts = [entry.artifact for entry in found]
        artifacts += [entries.failed(variant, errors, measured) for variant, (errors, measured) in broken.items()]
        if not artifacts:
            return None
        source = found[-1].source if found else entries.source_of(model, ())
        if len(found) < len(asked):  # what failed is told of as it is now, and to nobody else
            return parts.part(None, model.id, source, artifacts, columns)
        part = parts.part(said, model.id, source, artifacts, columns)
        shared.write(self._builds.store, question, SharedNote(parts.encode(part), {}, 0.0))
        return part

    def _prepare(self, model: Model) -> None:
        """What the model gives to a report of all that the manifest asks for, as a first build makes it."""
        part = self._part(model, model.variants(), self._all_columns, {}, None)
        if part is not None:
            self._prepared[model.id] = part

    @cached_property
    def _all_columns(self) -> list[Column]:
        return _columns(self._manifest.variants())

    def _question(self, columns: Sequence[Column], notes: Mapping[Variant, bytes]) -> bytes:
        said = columns, [(str(variant), digest.of_bytes(note)) for variant, note in notes.items()]
        return self._questions.of_report(digest.of_bytes(_ENCODER.encode(said)))

    def key(self, model: Model) -> Digest | None:
        """Under which the store may have what a model gave to the last report."""
        return self._standing.said.get(model.id)

    def _put(self, *contents: Pieces) -> list[Path]:
        """Each, in pieces, only if its bytes change."""
        written: list[Path] = []
        for name, pieces in zip(delivery.REPORTS, contents, strict=True):
            path = self._output / name
            with disk.explained(path, "what is delivered"):
                if not _holds(path, pieces):
                    # Not synced: what a power cut spoils is seen by the next comparison, and written again.
                    with disk.drafted(path, synced=False) as file:
                        file.writelines(pieces)
                    written.append(path)
        return written

    def _state(self) -> bytes:
        """All that the report depends on, and what it is."""
        files = [self._output / name for name in delivery.REPORTS]
        noted = [(variant, stamp) for variant in self._manifest.variants() if (stamp := self._stamps.of(variant))]
        said = "".join([f"{delivery.place(variant)} {stamp.entry}\n" for variant, stamp in noted])
        seen = [self._memo.of(path, digest.fast_of_file) if path.is_file() else "" for path in files]
        return digest.canonical([digest.of_bytes(self._questions.of_report(digest.of_bytes(said.encode()))), *seen])

    @property
    def _stamp(self) -> Path:
        return self._cache / "report.json"

    @cached_property
    def _standing(self) -> Standing:
        from modelbuild.project.standing import Standing

        text, page = (self._output / name for name in delivery.REPORTS)
        return Standing(text, page, self._cache / "parts")


def _columns(variants: Iterable[Variant]) -> list[Column]:
    from modelbuild.report.page import Column

    return sorted({Column(str(v.target), str(v.precision), v.target.device) for v in variants})


def _holds(path: Path, pieces: Pieces) -> bool:
    """Whether a regular file is there with these bytes."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != pieces.size:
        return False
    return digest.fast_of_file(path) == pieces.xxh3()
