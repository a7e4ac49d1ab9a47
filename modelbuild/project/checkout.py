"""A checkout at work: sources in, artifacts out, and what of it is there already."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from modelbuild import digest
from modelbuild.errors import BuildError, StoreError
from modelbuild.memo import Memo
from modelbuild.project import delivery, stamp
from modelbuild.project.builds import NO_LIMIT, Builds
from modelbuild.project.commission import Commissions
from modelbuild.project.judging import Judges
from modelbuild.project.ledger import Ledger
from modelbuild.project.making import Making
from modelbuild.project.meanwhile import Meanwhile
from modelbuild.project.named_files import NamedFiles
from modelbuild.project.question import Questions
from modelbuild.project.reporting import Reporting
from modelbuild.project.sources import Sources
from modelbuild.project.stamp import Stamp, Stamps
from modelbuild.stages.event import unheard
from modelbuild.stages.key import Code
from modelbuild.stages.names import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelbuild.digest import Digest
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.plan import Artifact
    from modelbuild.project.delivery import Delivery
    from modelbuild.project.making import Made
    from modelbuild.stages import Forecast, Job, Listener
    from modelbuild.store import LocalStore

MANIFEST = Path("models.yaml")


class Trouble(NamedTuple):
    """What is wrong with what is there; ``why`` is None where stages would run, which can tell it."""

    why: str | None


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
        code = Code(self._memo)
        ledger = Ledger(self.cache / "ledger")
        self._meanwhile = Meanwhile()
        self._stamps = Stamps(ledger, self._meanwhile, self.output)
        questions = Questions(manifest, code)
        self._commissions = Commissions(manifest, questions, Judges(), self.output)
        self._builds = Builds(self.cache, self._memo, code, listener, workers=workers, memory=memory, timeout=timeout)
        self.reporting = Reporting(
            manifest,
            self._stamps,
            self._memo,
            questions,
            self._builds,
            meanwhile=self._meanwhile,
            cache=self.cache,
            output=self.output,
        )
        named = NamedFiles(self._builds, questions)
        self.sources = Sources(manifest.root, self.cache, self._memo, ledger, named, offline=offline)
        self._making = Making(
            manifest,
            self.sources,
            self._commissions,
            self._builds,
            stamps=self._stamps,
            reporting=self.reporting,
            meanwhile=self._meanwhile,
            memo=self._memo,
            output=self.output,
        )

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
        self.stop()
        self._meanwhile.do()
        if not (touched := self._stamps.touched):
            return
        # By now most files are old enough to be remembered by how they look.
        for path in self.sources.known():
            if path.is_file():
                self._memo.of(path)
        self.sources.settle(self.manifest.models[name] for name in sorted(touched))
        self._stamps.settle()
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
            return next(map(_reason, self.forecasts(variant)), None)
        except BuildError as error:
            return str(error)

    def is_current(self, variant: Variant) -> bool:
        """Whether `make` would do nothing: `stale` without asking for reasons, which takes longer."""
        return self._trouble(variant) is None

    def _trouble(self, variant: Variant) -> Trouble | None:
        noted = self._stamps.of(variant)
        if noted is None:
            return Trouble("never built here")
        if not self.reporting.holds(variant, noted.entry):
            return Trouble("what the report says of it is gone, or of another build")
        damage = stamp.damage(noted, f"{self.output}/{delivery.place(variant)}")
        return Trouble(damage) if damage is not None else self._change(noted, variant)

    def forecasts(self, variant: Variant) -> list[Forecast]:
        """What `make` would run and why, inputs first. Runs nothing.

        Raises where sources would have to be fetched, and where `make` would refuse.
        """
        artifact = self._commissions.answerable(variant, self.sources.all_here(self.model(variant)))
        lasts = self._last_forecasts(artifact)
        return list({forecast.job: forecast for last in lasts for forecast in last.would_run()}.values())

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
            chain = self.chain(variant)
        except BuildError:  # without its sources its new keys are unknown; what was delivered is all that is known
            return found
        return found | {forecast.key.digest for forecast in chain if forecast.key is not None}

    def chain(self, variant: Variant) -> list[Forecast]:
        """What becomes of all that is asked for a variant, each job once, inputs first: what is there already too."""
        lasts = self._last_forecasts(self.planned(variant))
        return list({forecast.job: forecast for last in lasts for forecast in last.chain()}.values())

    def _last_forecasts(self, artifact: Artifact) -> list[Forecast]:
        """Of the jobs that are asked for themselves."""
        return [self._builds.here.forecast(job) for job in self.asked(artifact)]

    def traces(self, variant: Variant) -> Iterator[tuple[str, str]]:
        """What the rules did or why they did not, for each stage that has rules. Converts the model if need be."""
        artifact = self.artifact(variant)
        for job in artifact.rewrites:
            yield str(job), self._builds.here.content(job, TRACE).decode()

    def _change(self, noted: Stamp, variant: Variant) -> Trouble | None:
        """Nothing is planned unless something is other than it was; and then the keys may still be the same."""
        try:
            given = self.sources.all_here(self.model(variant))
            question = digest.of_bytes(self._commissions.question(variant, given))
            if question == noted.question:
                return None
            artifact = self._commissions.answerable(variant, given)
            keys = {job: self._builds.here.key(job) for job in self.asked(artifact)}
        except BuildError as error:
            return Trouble(str(error))
        if not all(keys.values()):
            return Trouble(None)
        if {job.stage.name: key.digest for job, key in keys.items() if key is not None} != noted.keys:
            return Trouble("what is delivered is another version; the store has this one")
        with suppress(StoreError):  # who may only look finds it out each time
            self._stamps.note(variant, msgspec.structs.replace(noted, question=question))
        return None

    def planned(self, variant: Variant) -> Artifact:
        """The jobs of a variant; raises where something would have to be fetched."""
        return self._commissions.artifact(variant, self.sources.all_here(self.model(variant)))

    def asked(self, artifact: Artifact) -> tuple[Job, ...]:
        """Those of its jobs that a build on this machine asks for; what is delivered comes last."""
        return self._commissions.jobs(artifact)

    # ---- making ----

    def artifact(self, variant: Variant) -> Artifact:
        """The jobs of a variant; its sources are fetched for that."""
        return self._commissions.artifact(variant, self.sources.all_of(self.model(variant)))

    def expect(self, variants: Iterable[Variant]) -> None:
        """Say what `make` will be asked for from now on, in about this order, by threads that leave it to a pool.

        Small artifacts may be begun before, while a worker would wait for the next to be asked for.
        """
        self._making.expect(variants)

    def has_begun(self, variant: Variant) -> bool:
        """Whether it was begun, or even made, before `make` is asked for it."""
        return self._making.has_begun(variant)

    def stop(self) -> list[Made]:
        """Stop what still runs, if `make` is asked for nothing more; gives what was made unasked, each once."""
        self._builds.close()
        return self._making.finish()

    def make(self, variant: Variant) -> Made:
        """Build, prove and deliver a variant, as far as it is not there; what is delivered appears as a whole.

        An artifact that is proved wrong, or exceeds a limit of the manifest, is not delivered; what lay there before
        stays.
        """
        return self._making.make(variant)

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


def _reason(forecast: Forecast) -> str:
    """What was delivered was built: if something never was, it is something else that is asked for by now."""
    is_new = forecast.why is not None and forecast.why.cause == "new"
    return f"{forecast.job}: {forecast.why}" if is_new else str(forecast.why)
