"""A checkout at work: sources in, artifacts out, and what of it is there already."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelbuild import digest
from modelbuild.errors import BuildError, CheckFailed, EnvironmentTrouble
from modelbuild.memo import SETTLING, Memo
from modelbuild.project import delivery, stamp, whole
from modelbuild.project.ahead import Ahead, NotYet
from modelbuild.project.builds import NO_LIMIT, Builds
from modelbuild.project.commission import Commission
from modelbuild.project.further import Further
from modelbuild.project.judging import Judges
from modelbuild.project.ledger import Ledger
from modelbuild.project.meanwhile import Meanwhile
from modelbuild.project.question import Questions
from modelbuild.project.reporting import Reporting
from modelbuild.project.sources import Sources
from modelbuild.project.stamp import Delivered, Stamp, Stamps
from modelbuild.project.whole import Whole
from modelbuild.stages import Event
from modelbuild.stages.event import unheard
from modelbuild.stages.key import Code
from modelbuild.stages.look import Look, Looks
from modelbuild.stages.names import TRACE
from modelbuild.store import LocalStore, Lost, deliver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from modelbuild.digest import Digest
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.plan import Artifact
    from modelbuild.project.delivery import Delivery
    from modelbuild.project.sources import Given
    from modelbuild.stages import Done, Forecast, Listener
    from modelbuild.stages.pending import Pending

MANIFEST = Path("models.yaml")

_MODELS_AT_ONCE = 8
_GROWN = 1.5 * SETTLING
"""Seconds after which a file that was delivered is old enough to be known by how it looks."""


class Trouble(NamedTuple):
    """What is wrong with what is there; ``why`` is None where stages would run, which can tell it."""

    why: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """What `Checkout.make` did: the stages that ran, in order; none if all was in the store.

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


class Checkout:
    """The folder of a manifest: ``cache/`` remembers, ``build/`` receives. Nothing is written before something is made.

    Several threads may use it: those besides the main thread leave the work to processes of a pool, at most ``workers``
    at once. `close` it when all is done.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        offline: bool = False,
        listener: Listener = unheard,
        workers: int = NO_LIMIT,
        memory: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """``memory`` in bytes for all workers together, ``timeout`` in seconds for what a worker is asked for.

        Where they are not given, the environment may: it is all that a build under doit can be told by.
        """
        self.manifest = manifest
        self.cache = manifest.root / "cache"
        self.output = manifest.root / "build"
        self._memo = Memo(self.cache / "memo", deferred=True)
        self._code = Code(self._memo)
        ledger = Ledger(self.cache / "ledger")
        self._stamps = Stamps(ledger)
        self._questions = Questions(manifest, self._code)
        self.judges = Judges()
        self._meanwhile = Meanwhile()
        self._builds = Builds(
            self.cache, self._memo, self._code, listener, workers=workers, memory=memory, timeout=timeout
        )
        self.reporting = Reporting(
            manifest,
            self._stamps,
            self._memo,
            self._questions,
            self._builds,
            meanwhile=self._meanwhile,
            cache=self.cache,
            output=self.output,
        )
        further = Further(self._builds, self._questions)
        self.sources = Sources(manifest.root, self.cache, self._memo, ledger, further, offline=offline)
        self._ahead = Ahead(self._prepare, self._begin, self._builds.has_room)
        self._looks = Looks(_MODELS_AT_ONCE)
        self._looking = threading.Lock()
        self._young: dict[Variant, Stamp] = {}
        self._touched: set[str] = set()

    @classmethod
    def open(
        cls,
        path: Path = MANIFEST,
        *,
        offline: bool = False,
        listener: Listener = unheard,
        workers: int = NO_LIMIT,
        memory: int | None = None,
        timeout: float | None = None,
    ) -> Checkout:
        """The checkout of the manifest at ``path``; raises `ManifestError` with all that is wrong with it."""
        from modelbuild.manifest import load

        return cls(load(path), offline=offline, listener=listener, workers=workers, memory=memory, timeout=timeout)

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what still runs and, if anything was made, remember what was learnt about files."""
        self._builds.close()
        self._note_what_was_begun()
        self._meanwhile.do()
        if not self._touched:
            return
        # By now most files are old enough to be remembered by how they look.
        for path in self.sources.known():
            if path.is_file():
                self._memo.of(path)
        self.sources.settle(self.manifest.models[name] for name in self._touched)
        for variant in list(self._young):
            self._settle(variant)
        self._touched.clear()
        self._memo.keep()
        self._builds.tidy()
        self.sources.tidy()

    @property
    def store(self) -> LocalStore:
        return self._builds.store

    def model(self, variant: Variant) -> Model:
        return self.manifest.models[variant.model]

    def folder(self, variant: Variant) -> Path:
        return Path(self.output, delivery.place(variant))

    def compiled_folder(self, variant: Variant) -> Path:
        return Path(self.output, delivery.compiled_place(variant))

    # ---- what is there ----

    def stale(self, variant: Variant) -> str | None:
        """Why `make` would do something; None if all that it gives is there. Fetches and runs nothing."""
        trouble = self._trouble(variant)
        if trouble is None:
            return None
        if trouble.why is not None:
            return trouble.why
        try:
            return next((str(forecast.why) for forecast in self.forecasts(variant)), None)
        except BuildError as error:
            return str(error)

    def is_current(self, variant: Variant) -> bool:
        """Whether `make` would do nothing: `stale` without asking for reasons, which takes longer."""
        return self._trouble(variant) is None

    def _trouble(self, variant: Variant) -> Trouble | None:
        noted = self._stamps.of(variant)
        if noted is None:
            return Trouble("never built here")
        if not self.reporting.is_noted(variant):
            return Trouble("what the report says of it is gone")
        damage = stamp.damage(noted, f"{self.output}/{delivery.place(variant)}")
        return Trouble(damage) if damage is not None else self._change(noted, variant)

    def forecasts(self, variant: Variant) -> list[Forecast]:
        """What `make` would run and why, inputs first. Runs nothing; raises where sources would have to be fetched."""
        artifact = self._plan(variant, self._here(variant))
        found = [one for job in self.judges.jobs(artifact) for one in self._builds.here.forecast(job).would_run()]
        return list({forecast.job.stage.name: forecast for forecast in found}.values())

    def keys(self, variant: Variant) -> set[Digest]:
        """The keys of all that is asked for a variant, as far as they are known without fetching or running anything.

        What they were made of may be left out: records tell it.
        """
        noted = self._stamps.of(variant)
        found = set(noted.keys.values()) if noted is not None else set()
        model = self.model(variant)
        beside = {noted.question if noted is not None else None, self.sources.key(model), self.reporting.key(model)}
        found |= {key for key in beside if key is not None and self.store.recall(key) is not None}
        if noted is not None and self.is_current(variant):
            return found
        try:
            artifact = self._plan(variant, self._here(variant))
        except BuildError:  # without its sources its new keys are unknown; what was delivered is all that is known
            return found
        forecasts = [self._builds.here.forecast(job) for job in self.judges.jobs(artifact)]
        return found | {one.key.digest for last in forecasts for one in last.chain() if one.key is not None}

    def forecast(self, variant: Variant) -> Forecast:
        """Of what is delivered: its key, and what goes before it."""
        return self._builds.here.forecast(self._plan(variant, self._here(variant)).package)

    def traces(self, variant: Variant) -> Iterator[tuple[str, str]]:
        """What the rules did or why they did not, for each stage that has rules. Converts the model if need be."""
        artifact = self.artifact(variant)
        for job in artifact.rewrites:
            yield str(job), self._builds.here.content(job, TRACE).decode()

    def _change(self, noted: Stamp, variant: Variant) -> Trouble | None:
        """Nothing is planned unless something is other than it was; and then the keys may still be the same."""
        try:
            given = self._here(variant)
            question = self._question(variant, given)
            if digest.of_bytes(question) == noted.question:
                return None
            keys = {job: self._builds.here.key(job) for job in self.judges.jobs(self._plan(variant, given))}
        except BuildError as error:
            return Trouble(str(error))
        if not all(keys.values()):
            return Trouble(None)
        if {job.stage.name: key.digest for job, key in keys.items() if key is not None} != noted.keys:
            return Trouble("what is delivered is another version; the store has this one")
        self._note(variant, question, noted.keys, noted.files, noted.entry)
        return None

    def _here(self, variant: Variant) -> Given:
        """Raises where something would have to be fetched."""
        model = self.model(variant)
        return self.sources.given(model, self.sources.here(model))

    def _fetched(self, variant: Variant) -> Given:
        model = self.model(variant)
        return self.sources.given(model, self.sources.of(model))

    def _question(self, variant: Variant, given: Given) -> bytes:
        return self._questions.of_artifact(variant, given.every, proved=self.judges.can_prove)

    # ---- making ----

    def expect(self, variants: Iterable[Variant]) -> None:
        """Say what `make` will be asked for, in about this order, by threads that leave the work to a pool.

        Small artifacts may be begun before, while a worker would wait for the next to be asked for.
        """
        self._ahead.expect(variants)

    def artifact(self, variant: Variant) -> Artifact:
        """The jobs of a variant; its sources are fetched for that."""
        return self._plan(variant, self._fetched(variant))

    def make(self, variant: Variant) -> Made:
        """Build, prove and deliver a variant, as far as it is not there; what is delivered appears as a whole.

        An artifact that is proved wrong, or exceeds a limit of the manifest, is not delivered; what lay there before
        stays.
        """
        self._ahead.reach(variant)
        given = self._fetched(variant)
        begun = self._ahead.take(variant)
        if begun is not None and not begun.commission.is_of(given):  # they changed since
            begun.abandon()
            begun = None
        if begun is not None:
            made = self._make(begun.commission, begun.pending)
        else:
            question = self._question(variant, given)
            made = self._restore(variant, question) or self._make(self._commission(variant, question, given))
        self.sources.keep(self.model(variant))
        return made

    def _commission(self, variant: Variant, question: bytes, given: Given) -> Commission:
        """``question`` is that of ``given``: what is made of these files answers it, whatever becomes of them."""
        artifact = self._plan(variant, given)
        self.judges.refuse_what_cannot_be_answered(artifact)
        asked = self.judges.before_delivery(artifact)
        folders = {"folder": self.folder(variant), "compiled_folder": self.compiled_folder(variant)}
        return Commission(artifact, asked, question, **folders)

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
                self.reporting.reject(variant, commission.rejected(rejected))
                raise
        size, notes = self._note_done(commission, done)
        if build is self._builds.here:  # nobody waits
            self._meanwhile.do()
        self._memo.keep()
        return Made(variant, tuple(event for event in heard if event.what == "made"), size, notes)

    def _while_waiting(self) -> None:
        self._ahead.fill()
        self._meanwhile.do()

    def _prepare(self, variant: Variant) -> Commission | None:
        """What to ask for before `make` is; None where that has little to do, or will fail.

        Raises NotYet where its sources are still to be fetched.
        """
        try:
            try:
                self.sources.here(self.model(variant))
            except EnvironmentTrouble as trouble:
                raise NotYet from trouble
            given = self._here(variant)
            question = self._question(variant, given)
            noted = self._stamps.of(variant)
            if noted is not None and noted.question == digest.of_bytes(question):
                return None
            return None if whole.read(self.store, question) else self._commission(variant, question, given)
        except NotYet:
            raise
        except Exception:  # whatever it is, whoever asks for it meets that, and says it
            return None

    def _begin(self, commissions: Sequence[Commission]) -> list[Pending]:
        errands = [commission.errand for commission in commissions]
        return self._builds.for_this_thread(errands[0]).begin(errands, timeout=self._builds.timeout)

    def _note_done(self, commission: Commission, done: Done) -> tuple[int, tuple[str, ...]]:
        """Note what was delivered; gives its size, and what a person should know of it."""
        from modelbuild.project import entries

        artifact, question = commission.artifact, commission.question
        variant = artifact.variant
        blobs, said = commission.delivered(done), commission.entry(done)
        keys = {name: answer.key for name, answer in done.answers.items()}
        entry = entries.encode(said)
        notes = entries.remarks(variant, said.artifact)
        if artifact.export is None:
            taken = sum(stage.seconds for stage in said.artifact.stages)
            answer = Whole(keys, tuple(blobs.values()), entry, notes, taken)
            self._meanwhile.leave(variant, partial(whole.write, self.store, question, answer))
        compiled = commission.compiled(done)
        blobs |= {f"../{self.compiled_folder(variant).name}/{name}": blob for name, blob in compiled.items()}
        files = {name: Delivered.of(blob) for name, blob in blobs.items()}
        self._note(variant, question, keys, files, self.reporting.note(variant, entry))
        return sum(blob.size for blob in blobs.values()), notes

    def _note_what_was_begun(self) -> None:
        """If nobody came to ask for it any more, but it was made."""
        for begun in self._ahead.left():
            if begun.pending.is_over:
                with suppress(Exception):  # whoever asks for it meets that, and says it
                    self._note_done(begun.commission, begun.pending.wait(unheard))

    def _restore(self, variant: Variant, question: bytes) -> Made | None:
        """What was made of the very same lies in the store: nothing is planned for it. None where that is not so.

        Nor where a device's own compiler has a say: what it made lies apart, and few ask for it.
        """
        if variant.target.compiled or (known := whole.read(self.store, question)) is None:
            return None
        try:
            deliver(self.store, dict(zip(delivery.names(variant), known.blobs, strict=True)), self.folder(variant))
        except Lost:  # set aside by now; whoever asks the stages has it made again, and tells it
            return None
        key, size = known.keys["package"], sum(blob.size for blob in known.blobs)
        with self._builds.hearing():
            self._builds.hear(Event("hit", "package", str(variant), "", key, known.seconds, size))
        self.store.used(digest.of_bytes(question), *known.keys.values())
        files = dict(zip(delivery.names(variant), map(Delivered.of, known.blobs), strict=True))
        self._note(variant, question, known.keys, files, self.reporting.note(variant, known.entry))
        return Made(variant, (), size, known.notes)

    def _look_at(self, commission: Commission) -> Look:
        """One for the variants of a model, which share their first stages and are made at about the same time."""
        with self._looking:
            return self._looks.at(commission.errand.first)

    def _plan(self, variant: Variant, given: Given) -> Artifact:
        from modelbuild import plan

        return plan.Artifact(self.model(variant), variant, plan.Files(*given))

    def _note(
        self,
        variant: Variant,
        question: bytes,
        keys: Mapping[str, Digest],
        files: Mapping[str, Delivered],
        entry: str,
    ) -> None:
        noted = Stamp(question=digest.of_bytes(question), keys=keys, files=files, entry=entry)
        self._stamps.write(variant, noted)
        self._touched.add(variant.model)
        self._young[variant] = noted
        self._meanwhile.leave_for(_GROWN, variant, partial(self._settle, variant))

    def _settle(self, variant: Variant) -> None:
        """Note how the files of an artifact look, once they are old enough to be known by that."""
        if (noted := self._young.pop(variant, None)) is not None:
            self._stamps.write(variant, stamp.settled(noted, self.folder(variant)))

    # ---- taking away ----

    def orphans(self) -> list[Delivery]:
        """What lies below ``build/`` and is ours, but is asked for by no model, target and precision any more."""
        wanted = {self.folder(variant) for variant in self.manifest.variants()}
        wanted |= {self.compiled_folder(variant) for variant in self.manifest.variants() if variant.target.compiled}
        return [found for found in delivery.below(self.output) if found.folder not in wanted]

    def remove(self, orphan: Delivery, *, dry: bool = False) -> list[Path]:
        return delivery.remove(orphan, self.output, dry=dry)

    def clean(self, variant: Variant, *, dry: bool = False) -> list[Path]:
        """Take away what was delivered of a variant, and nothing else; says what, which ``dry`` leaves."""
        if not dry:
            self._stamps.forget(variant)
            self.reporting.forget(variant)
        found = [delivery.at(folder) for folder in (self.folder(variant), self.compiled_folder(variant))]
        return [path for one in found if one is not None for path in delivery.remove(one, self.output, dry=dry)]
