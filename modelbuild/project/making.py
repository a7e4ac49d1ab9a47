"""How artifacts come about: found as a whole, or asked of the stages; begun ahead of time where workers have room."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import digest
from modelbuild.errors import BuildError, CheckFailed, EnvironmentTrouble
from modelbuild.project import delivery, whole
from modelbuild.project.ahead import Ahead
from modelbuild.project.stamp import Delivered, Stamp
from modelbuild.project.whole import Whole
from modelbuild.stages import Event
from modelbuild.stages.look import Look, Looks
from modelbuild.stages.names import delivered
from modelbuild.store import Lost, deliver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modelbuild.digest import Digest
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.memo import Memo
    from modelbuild.project.builds import Builds
    from modelbuild.project.commission import Commission, Commissions
    from modelbuild.project.meanwhile import Meanwhile
    from modelbuild.project.reporting import Reporting
    from modelbuild.project.sources import Sources
    from modelbuild.project.stamp import Stamps
    from modelbuild.stages import Done
    from modelbuild.stages.pending import Pending

_MODELS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Made:
    """What was done for an artifact: the stages that ran, in order; none if all was in the store.

    ``notes`` are what a person should know of the conversion.
    """

    variant: Variant
    ran: tuple[Event, ...]
    size: int
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(event.seconds for event in self.ran)

    @property
    def why(self) -> str:
        """The reason of the first stage that ran: what followed, followed from it."""
        return self.ran[0].why if self.ran else ""


class Making:
    """Several threads may have something made. What was made is noted, by its stamp and for the report."""

    def __init__(
        self,
        manifest: Manifest,
        sources: Sources,
        commissions: Commissions,
        builds: Builds,
        *,
        stamps: Stamps,
        reporting: Reporting,
        meanwhile: Meanwhile,
        memo: Memo,
        output: Path,
    ) -> None:
        self._manifest = manifest
        self._sources = sources
        self._commissions = commissions
        self._builds = builds
        self._stamps = stamps
        self._reporting = reporting
        self._meanwhile = meanwhile
        self._memo = memo
        self._output = output
        self._ahead = Ahead(self._prepare, self._begin, is_here=self._is_here, has_room=builds.has_room)
        self._missing: set[str] = set()
        self._looks = Looks(_MODELS_AT_ONCE)
        self._looking = threading.Lock()

    def expect(self, variants: Iterable[Variant]) -> None:
        self._ahead.expect(variants)

    def has_begun(self, variant: Variant) -> bool:
        return self._ahead.has_begun(variant)

    def make(self, variant: Variant) -> Made:
        self._ahead.reach(variant)
        model = self._model(variant)
        given = self._sources.all_of(model)
        begun = self._ahead.take(variant)
        if begun is not None and not begun.commission.is_of(given):  # they changed since
            begun.abandon()
            begun = None
        if begun is not None:
            made = self._make(begun.commission, begun.pending)
        else:
            question = self._commissions.question(variant, given)
            restored = self._restore(variant, question)
            made = restored or self._make(self._commissions.of(variant, question, given))
        self._sources.keep(model)
        return made

    def finish(self) -> list[Made]:
        """Note what was begun and is made by now, though nobody came to ask for it any more."""
        made = []
        for begun in self._ahead.left():
            if begun.pending.is_over:
                self._ahead.take(begun.commission.artifact.variant)
                with (
                    suppress(Exception),
                    self._builds.hearing() as heard,
                ):  # whoever asks for it meets that, and says it
                    made.append(self._made(begun.commission, begun.pending.wait(self._builds.hear), heard))
        return made

    # ---- by the stages ----

    def _make(self, commission: Commission, begun: Pending | None = None) -> Made:
        variant = commission.artifact.variant
        build = self._builds.for_this_thread(commission.errand)
        timeout, look = self._builds.timeout, self._look_at(commission)
        with self._builds.hearing() as heard:
            try:
                done = build.fulfil(
                    commission.errand, timeout=timeout, look=look, meanwhile=self._while_waiting, begun=begun
                )
            except CheckFailed:
                rejected = build.fulfil(commission.measuring, timeout=timeout, look=look)
                self._reporting.reject(variant, commission.rejected(rejected))
                raise
        made = self._made(commission, done, heard)
        if build is self._builds.here:  # nobody waits
            self._meanwhile.do()
        self._memo.keep()
        return made

    def _while_waiting(self) -> None:
        self._ahead.fill()
        self._meanwhile.do()

    def _look_at(self, commission: Commission) -> Look:
        """One for the variants of a model, which share their first stages and are made at about the same time."""
        with self._looking:
            return self._looks.at(commission.errand.first)

    def _made(self, commission: Commission, done: Done, heard: Iterable[Event]) -> Made:
        """Note what was delivered, and say it."""
        from modelbuild.project import entries

        artifact, question = commission.artifact, commission.question
        variant = artifact.variant
        blobs, said = commission.delivered(done), commission.entry(done)
        keys = {name: answer.key for name, answer in done.answers.items()}
        entry = entries.encode(said)
        notes = entries.remarks(variant, said.artifact)
        if artifact.export is None:
            taken = sum(stage.seconds for stage in said.artifact.stages)
            answer = Whole(keys, done.of(artifact.package).blobs, entry, notes, taken)
            self._meanwhile.leave(variant, partial(whole.write, self._builds.store, question, answer))
        beside = Path(delivery.compiled_place(variant)).name
        blobs |= {f"../{beside}/{name}": blob for name, blob in commission.compiled(done).items()}
        files = {name: Delivered.of(blob) for name, blob in blobs.items()}
        self._note(variant, question, keys, files, entry)
        ran = tuple(event for event in heard if event.what == "made")
        return Made(variant, ran, sum(blob.size for blob in blobs.values()), notes)

    # ---- as a whole ----

    def _restore(self, variant: Variant, question: bytes) -> Made | None:
        """What was made of the very same lies in the store: nothing is planned for it. None where that is not so.

        Nor where a device's own compiler has a say: what it made lies apart, and few ask for it.
        """
        store = self._builds.store
        if variant.target.compiled or (known := whole.read(store, question)) is None:
            return None
        blobs = {name: known.blobs[output] for name, output in delivered(variant.model).items()}
        try:
            deliver(store, blobs, self._output / delivery.place(variant))
        except Lost:  # set aside by now; whoever asks the stages has it made again, and tells it
            return None
        key, size = known.keys["package"], sum(blob.size for blob in blobs.values())
        with self._builds.hearing():
            self._builds.hear(Event("hit", "package", str(variant), "", key, known.seconds, size))
        store.used(digest.of_bytes(question), *known.keys.values())
        files = {name: Delivered.of(blob) for name, blob in blobs.items()}
        self._note(variant, question, known.keys, files, known.entry)
        return Made(variant, (), size, known.notes)

    def _note(
        self,
        variant: Variant,
        question: bytes,
        keys: Mapping[str, Digest],
        files: Mapping[str, Delivered],
        entry: bytes,
    ) -> None:
        noted = self._reporting.note(variant, entry)
        self._stamps.note(variant, Stamp(question=digest.of_bytes(question), keys=keys, files=files, entry=noted))

    # ---- ahead of time ----

    def _prepare(self, variant: Variant) -> Commission | None:
        """What to ask for before `make` is; None where that has little to do, or will fail."""
        try:
            given = self._sources.all_here(self._model(variant))
            question = self._commissions.question(variant, given)
            noted = self._stamps.of(variant)
            if noted is not None and noted.question == digest.of_bytes(question):
                return None
            if whole.read(self._builds.store, question) is not None:
                return None
            return self._commissions.of(variant, question, given)
        except Exception:  # whatever it is, whoever asks for it meets that, and says it
            return None

    def _is_here(self, model: str) -> bool:
        """Whether the files of a model are; of one that was not it is asked no more until it is fetched."""
        if model in self._missing:
            return self._sources.is_found(model)
        try:
            self._sources.here(self._manifest.models[model])
        except EnvironmentTrouble:
            self._missing.add(model)
            return False
        except BuildError:  # whoever asks for it meets that, and says it
            return True
        return True

    def _begin(self, commissions: Sequence[Commission]) -> list[Pending]:
        errands = [commission.errand for commission in commissions]
        return self._builds.for_this_thread(errands[0]).begin(errands, timeout=self._builds.timeout)

    def _model(self, variant: Variant) -> Model:
        return self._manifest.models[variant.model]
