"""A checkout at work: sources in, artifacts out, and what of it is there already."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild import __version__, digest
from modelbuild.errors import BuildError
from modelbuild.fetch import FetchedFile, discard_wheels, fetch
from modelbuild.memo import Memo
from modelbuild.project import delivery, stamp
from modelbuild.project.delivery import Delivery
from modelbuild.project.runs import Runs
from modelbuild.project.stamp import Stamp
from modelbuild.stages import Build, Event
from modelbuild.stages.event import unheard
from modelbuild.stages.history import History
from modelbuild.stages.key import Code, version_of
from modelbuild.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelbuild.digest import Digest
    from modelbuild.fetch import Progress
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.plan import Artifact
    from modelbuild.stages import Forecast, Listener
    from modelbuild.stages.pool import Pool
    from modelbuild.stages.stage import Stage

MANIFEST = Path("models.yaml")
_PLANNING = ("modelbuild.plan", "modelbuild.stages.job", "modelbuild.stages.key", "modelbuild.stages.stage")
"""What turns a question into keys, besides the stages' own code."""

_PROVERS = ("onnxruntime", "openvino")
_NO_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Made:
    """What `Checkout.make` did: the stages that ran with their reasons, in order; none if all was in the store."""

    variant: Variant
    key: Digest
    ran: tuple[Event, ...]
    size: int

    @property
    def was_hit(self) -> bool:
        return not self.ran

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
        self, manifest: Manifest, *, offline: bool = False, listener: Listener = unheard, workers: int = _NO_LIMIT
    ) -> None:
        self.manifest = manifest
        self.root = manifest.root
        self.cache = self.root / "cache"
        self.output = self.root / "build"
        self.offline = offline
        self.listener = listener
        self._workers = workers
        self._memo = Memo(self.cache / "memo", deferred=True)
        self._code = Code(self._memo)
        self._runs = Runs(self.cache / "runs")
        self._found: dict[str, tuple[FetchedFile, ...]] = {}
        self._pool: Pool | None = None
        self._opening = threading.RLock()
        self._heard = threading.local()
        self._touched: list[Variant] = []

    @classmethod
    def open(
        cls,
        path: Path = MANIFEST,
        *,
        offline: bool = False,
        listener: Listener = unheard,
        workers: int = _NO_LIMIT,
    ) -> Checkout:
        """The checkout of the manifest at ``path``; raises `ManifestError` with all that is wrong with it."""
        from modelbuild.manifest import load

        return cls(load(path), offline=offline, listener=listener, workers=workers)

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what still runs, and remember what was learnt about files, if anything was made."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if not self._touched:
            return
        for variant in self._touched:  # by now most of these files are old enough to be remembered
            for source in self._found.get(variant.model, ()):
                self._memo.of(source.path)
            for path in (self.folder(variant) / name for name in delivery.names(variant)):
                if path.is_file():
                    self._memo.of(path, digest.fast_of_file)
        self._touched.clear()
        self._memo.keep()
        self._runs.forget_oldest()
        if not self.offline:
            discard_wheels(self._sources_folder)

    # ---- sources ----

    def sources(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """All files of a model, its own first; fetched now where they are missing."""
        if model.id not in self._found:
            self._found[model.id] = self._fetch(model, self.offline, progress)
        return self._found[model.id]

    def has_sources(self, model: Model) -> bool:
        """Whether the files of a model are there and the same as when they were last noted."""
        try:
            found = self._fetch(model, offline=True)
        except BuildError:  # whoever fetches will say it; here it only means that there is something to do
            return False
        self._found[model.id] = found
        return bool(stamp.read_plain(self._source_stamp(model)) == _noted(found))

    def fetch(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """`sources`, looked at anew, and noted."""
        self._found.pop(model.id, None)
        found = self.sources(model, progress)
        stamp.write_plain(self._source_stamp(model), _noted(found))
        return found

    def _fetch(self, model: Model, offline: bool, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        fetched = fetch(
            model.source,
            root=self.root,
            into=self._sources_folder,
            offline=offline,
            progress=progress,
            digest_of=self._memo.of,
        )
        listed = {file.name for file in fetched.files}
        names: list[str] = json.loads(self._memo.of(fetched.model, _further_files))
        further = [(name, fetched.model.parent / name) for name in names if name not in listed]
        return (*fetched.files, *(FetchedFile(name, path, self._memo.of(path)) for name, path in further))

    @property
    def _sources_folder(self) -> Path:
        return self.cache / "sources"

    def _source_stamp(self, model: Model) -> Path:
        return self.cache / "stamps" / model.id / "source.json"

    # ---- what is there ----

    def folder(self, variant: Variant) -> Path:
        return self.output / delivery.place(variant)

    def stale(self, variant: Variant) -> str | None:
        """Why `make` would do something; None if all that it gives is there. Fetches and runs nothing."""
        noted = stamp.read(self._stamp_path(variant))
        if noted is None:
            return "never built here"
        return self._damage(noted, self.folder(variant)) or self._changed(noted, variant)

    def delivered(self, variant: Variant) -> Stamp | None:
        """What was delivered last, whatever became of it."""
        return stamp.read(self._stamp_path(variant))

    def _damage(self, noted: Stamp, folder: Path) -> str | None:
        for name, (size, xxh3) in noted.files.items():
            path = folder / name
            if path.is_symlink() or not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size or self._memo.of(path, digest.fast_of_file) != xxh3:
                return f"{name} was changed by somebody"
        return None

    def _changed(self, noted: Stamp, variant: Variant) -> str | None:
        """Planned only if something that keys depend on is other than it was; often the keys are the same then."""
        try:
            sources = self._here(self.manifest.models[variant.model])
        except BuildError as error:
            return str(error)
        if (noted.proof is not None) == self.can_prove:
            question = self._question(variant, sources, noted.code, noted.versions)
            if question == noted.question:
                return None
        artifact = self._plan(variant, sources)
        answers = [self._build.recall(job) for job in self._jobs(artifact)]
        keys = [answer.key.digest for answer in answers if answer is not None]
        if keys != [key for key in (noted.proof, noted.key) if key is not None]:
            return self._reason(artifact)
        self._note(variant, artifact, noted.key, noted.proof, noted.files)
        return None

    def _here(self, model: Model) -> tuple[FetchedFile, ...]:
        if model.id not in self._found:
            self._found[model.id] = self._fetch(model, offline=True)
        return self._found[model.id]

    def _reason(self, artifact: Artifact) -> str:
        waiting = [one for job in self._jobs(artifact) for one in self._build.forecast(job).would_run()]
        return str(waiting[0].why) if waiting else "another answer is in the store"

    def _question(
        self, variant: Variant, sources: Sequence[FetchedFile], code: Sequence[str], versions: Sequence[str]
    ) -> Digest:
        model = replace(self.manifest.models[variant.model], place="")
        return digest.of_data(
            {
                "code": {module: self._code.of_module(module) for module in code},
                "versions": {name: version_of(name) for name in versions},
                "modelbuild": __version__,
                "model": repr(model),
                "variant": repr(variant),
                "sources": [[file.name, file.sha256] for file in sources],
            }
        )

    def _stamp_path(self, variant: Variant) -> Path:
        return self.cache / "stamps" / variant.model / str(variant.target) / f"{variant.precision}.json"

    # ---- making ----

    @cached_property
    def can_prove(self) -> bool:
        """Whether both runtimes are installed."""
        return all(find_spec(name) is not None for name in _PROVERS)

    def artifact(self, variant: Variant) -> Artifact:
        """The jobs of a variant; its sources are fetched for that."""
        return self._plan(variant, self.sources(self.manifest.models[variant.model]))

    def forecasts(self, variant: Variant) -> list[Forecast]:
        """What `make` would run and why, inputs first. Fetches and runs nothing; raises where sources are not here."""
        artifact = self._plan(variant, self._here(self.manifest.models[variant.model]))
        return [one for job in self._jobs(artifact) for one in self._build.forecast(job).would_run()]

    def forecast(self, variant: Variant) -> Forecast:
        """Of what is delivered, with its key and what goes before it."""
        return self._build.forecast(self._plan(variant, self._here(self.manifest.models[variant.model])).package)

    def make(self, variant: Variant, *, timeout: float | None = None) -> Made:
        """Build, prove and deliver a variant, as far as it is not there; what is delivered appears as a whole.

        An artifact that is proved wrong is not delivered, and what lay there before stays.
        """
        artifact = self.artifact(variant)
        build = self._build if threading.current_thread() is threading.main_thread() else self._pooled
        with self._hearing() as heard:
            proof = build.ensure(artifact.prove, timeout=timeout).key.digest if self.can_prove else None
            answer = build.deliver(artifact.package, artifact.files, self.folder(variant), timeout=timeout)
        blobs = {name: answer.blob(output) for name, output in artifact.files.items()}
        files = {name: (blob.size, blob.xxh3) for name, blob in blobs.items()}
        self._note(variant, artifact, answer.key.digest, proof, files)
        self._memo.keep()
        ran = tuple(event for event in heard if event.what == "made")
        return Made(variant, answer.key.digest, ran, sum(blob.size for blob in blobs.values()))

    def _plan(self, variant: Variant, sources: Sequence[FetchedFile]) -> Artifact:
        from modelbuild import plan

        return plan.artifact(self.manifest.models[variant.model], variant, sources)

    def _jobs(self, artifact: Artifact) -> list[Any]:
        return [*([artifact.prove] if self.can_prove else []), artifact.package]

    def _note(self, variant: Variant, artifact: Artifact, key: Digest, proof: Digest | None, files: Any) -> None:
        stages: set[Stage] = {one for job in self._jobs(artifact) for one in job.stages()}
        code = sorted({*_PLANNING, *(module for one in stages for module in one.code)})
        versions = sorted({name for one in stages for name in one.versions})
        question = self._question(variant, artifact.sources, code, versions)
        noted = Stamp(question, tuple(code), tuple(versions), key, proof, files)
        stamp.write(self._stamp_path(variant), noted)
        self._touched.append(variant)

    @cached_property
    def _store(self) -> LocalStore:
        return LocalStore(self.cache / "store")

    @cached_property
    def _history(self) -> History:
        return History(self.cache / "history")

    @cached_property
    def _build(self) -> Build:
        return Build(self._store, self._memo, self._history, listener=self._hear)

    @property
    def _pooled(self) -> Build:
        with self._opening:
            if self._pool is None:
                from modelbuild.stages.pool import Pool

                self._pool = Pool(self._workers, self.cache, memory=_memory())
                self._pooled_build = Build(self._store, self._memo, self._history, listener=self._hear, pool=self._pool)
            return self._pooled_build

    @contextmanager
    def _hearing(self) -> Iterator[list[Event]]:
        """The events of this thread, which are those of what it asks for."""
        heard: list[Event] = []
        self._heard.events = heard
        try:
            yield heard
        finally:
            del self._heard.events

    def _hear(self, event: Event) -> None:
        if (heard := getattr(self._heard, "events", None)) is not None:
            heard.append(event)
            self._runs.note(event.plain())
        self.listener(event)

    # ---- taking away ----

    def orphans(self) -> list[Delivery]:
        """What lies below ``build/`` and is ours, but is asked for by no model, target and precision any more."""
        wanted = {self.folder(variant) for variant in self.manifest.variants()}
        return [found for found in delivery.below(self.output) if found.folder not in wanted]

    def clean(self, variant: Variant, *, dry: bool = False) -> list[Path]:
        """Take away what was delivered of a variant, and nothing else; says what, which ``dry`` leaves."""
        if not dry:
            self._stamp_path(variant).unlink(missing_ok=True)
        found = delivery.at(self.folder(variant))
        return delivery.remove(found, self.output, dry=dry) if found is not None else []

    def clean_source(self, model: Model, *, dry: bool = False) -> list[Path]:
        """Forget what was noted of a source. What was fetched is kept: it takes a network to get it back."""
        path = self._source_stamp(model)
        known = path.exists()
        if not dry:
            path.unlink(missing_ok=True)
        return [path] if known else []

    def remove(self, orphan: Delivery) -> list[Path]:
        return delivery.remove(orphan, self.output)


def _noted(files: Sequence[FetchedFile]) -> list[Any]:
    return [[file.name, file.sha256] for file in files]


def _further_files(path: Path) -> str:
    """The names of the files beside ``path`` that the model in it reads, as JSON: for `Memo.of`."""
    from modelbuild.frontends.load import read_source

    return json.dumps([file.relative_to(path.parent).as_posix() for file in read_source(path).files[1:]])


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
