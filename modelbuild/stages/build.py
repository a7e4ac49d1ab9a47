"""Answering jobs: from the store, or by running their stages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from modelbuild import digest
from modelbuild.errors import SourceError, StageError, StoreError
from modelbuild.memo import Fingerprint, Memo
from modelbuild.stages import reason
from modelbuild.stages.errand import Done, Errand, Said, Step
from modelbuild.stages.event import Event, Listener, What, unheard
from modelbuild.stages.history import History
from modelbuild.stages.inputs import Answered, Inputs
from modelbuild.stages.job import FileInput, Job, Source, reach_of
from modelbuild.stages.key import Code, Given, Key, key_of
from modelbuild.stages.look import Look
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.reason import Reason
from modelbuild.stages.shelf import Origin, Shelf
from modelbuild.store import Blob, LocalStore, Lost, Record, Store, deliver

if TYPE_CHECKING:
    from modelbuild.stages.pending import Pending
    from modelbuild.stages.pool import Pool

T = TypeVar("T")

_HEALINGS = 5
_PATIENCE = 600.0
_WORTH_TELLING = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job gave, and whether it was there already. ``why`` is given when it was not."""

    job: Job
    key: Key
    record: Record
    why: Reason | None
    seconds: float

    @property
    def was_hit(self) -> bool:
        return self.why is None

    @property
    def said(self) -> Said:
        return Said(self.key.digest, self.why, {name: output.blob for name, output in self.record.outputs.items()})

    def blob(self, name: str) -> Blob:
        return self.record.outputs[name].blob


Outcome: TypeAlias = Literal["hit", "run", "unknown"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What asking for ``job`` would do. ``unknown``: a job before it runs first, and may or may not change its key.

    ``seconds`` is what it took the last time that it is known to have run. ``record`` is what is known of its answer,
    which may lack blobs.
    """

    job: Job
    outcome: Outcome
    why: Reason | None
    key: Key | None
    record: Record | None
    seconds: float | None
    before: Mapping[str, Forecast]

    def chain(self) -> Iterator[Forecast]:
        """What leads to the answer, inputs first, and the answer itself, each once."""
        yield from _each_once((*(earlier for before in self.before.values() for earlier in before.chain()), self))

    def would_run(self) -> Iterator[Forecast]:
        """Everything that asking for this job would (or may) run, inputs first, each once."""
        if self.outcome == "hit":  # what it was made of may be gone, and is not missed
            return
        yield from _each_once((*(earlier for before in self.before.values() for earlier in before.would_run()), self))


class Build:
    """One process's way to answers: a store, what is known of files, and who listens.

    With a ``pool``, hits are answered here and everything else by its workers; without, here. Several threads may ask
    at once. Two builds of the same thing, in any processes, make it once.
    """

    def __init__(
        self,
        store: Store,
        memo: Memo,
        history: History,
        *,
        listener: Listener = unheard,
        pool: Pool | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        """``patience``: seconds to wait for another process that makes the same, before making it here too."""
        self.store = store
        self.listener = listener
        self._memo = memo
        self._history = history
        self._pool = pool
        self._patience = patience
        self._code = Code(memo)
        self._shelf = Shelf()

    @classmethod
    def open(
        cls, cache: Path, store: Path | None = None, *, listener: Listener = unheard, pool: Pool | None = None
    ) -> Build:
        """The build of a checkout whose memory is the folder ``cache``; the store is there too unless shared."""
        return cls(
            LocalStore(store or cache / "store"),
            Memo(cache / "memo"),
            History(cache / "history"),
            listener=listener,
            pool=pool,
        )

    # ---- asking ----

    def forecast(self, job: Job, *, look: Look | None = None) -> Forecast:
        """What `ensure` would do and why. Runs nothing; reads input files whose digest is not known."""
        return self._forecast(job, look or Look())

    def _forecast(self, job: Job, look: Look) -> Forecast:
        before = {role: self._forecast(source, look) for role, source in _jobs(job.inputs)}
        first = tuple(str(forecast.job) for forecast in before.values() if forecast.record is None)
        if first:
            return Forecast(job, "unknown", Reason("follows", first), None, None, self._seconds_last(job), before)
        results = {role: forecast.record.results for role, forecast in before.items() if forecast.record is not None}
        key = self._key(job, results, look)
        record = self._answered(key, look)
        if record is not None and not self.store.missing(record):
            return Forecast(job, "hit", None, key, record, record.seconds, before)
        return Forecast(job, "run", self._why(job, key), key, record, self._seconds_last(job), before)

    def key(self, job: Job) -> Key | None:
        """The key of ``job``, if its answer is all there; None if something would have to run. Tells nobody."""
        look = Look()
        key = self._resolve(job, look)
        return key if key is not None and self._recalled(key, look) is not None else None

    def ensure(self, job: Job, *, timeout: float | None = None, look: Look | None = None) -> Answer:
        """The answer, made now if need be, and what it is made of too where that is lost.

        ``timeout`` in seconds holds for a run in the pool. Raises what stages raise, with notes on where.
        """
        look = look or Look()
        try:
            if self._pool is not None:
                return self._recall(job, look) or self._ask_pool(self._pool, job, timeout)
            for _ in range(_HEALINGS):
                try:
                    return self._provide(job, look)
                except Lost as lost:  # damaged, and set aside: a miss in the next round
                    again = str(lost)
            raise StoreError(f"{job}: {again} after it was made {_HEALINGS} times; check the disk")
        finally:
            self._tell_damage()

    def deliver(
        self,
        job: Job,
        files: Mapping[str, str],
        folder: Path,
        *,
        timeout: float | None = None,
        look: Look | None = None,
    ) -> Answer:
        """Ensure ``job`` and lay ``files`` (name there -> output) out in ``folder``, all or nothing."""

        def lay_out(answer: Answer) -> Answer:
            deliver(self.store, {name: answer.blob(output) for name, output in files.items()}, folder)
            return answer

        return self._healed(job, timeout, look or Look(), lay_out)

    def fulfil(
        self,
        errand: Errand,
        *,
        timeout: float | None = None,
        look: Look | None = None,
        meanwhile: Callable[[], None] | None = None,
        begun: Pending | None = None,
    ) -> Done:
        """All of ``errand``; with a pool, by one worker in one go, unless it was ``begun``.

        ``meanwhile`` is called then. ``timeout`` as in `ensure`, for each stage.
        """
        if self._pool is not None:
            return self._pool.run(errand, timeout=timeout, listener=self.listener, meanwhile=meanwhile, begun=begun)
        look = look or Look()
        answers = {job: self.ensure(job, look=look) for job in errand.jobs}
        for job, files, folder in errand.shipments:
            answers[job] = self.deliver(job, files, folder, look=look)
        contents = {
            name: self._read(answers[job], output, look).decode() for name, (job, output) in errand.contents.items()
        }
        said = {job.stage.name: answer.said for job, answer in answers.items()}
        return Done(said, contents, tuple(self._steps(answers, look)))

    def begin(self, errands: Sequence[Errand], *, timeout: float | None = None) -> list[Pending]:
        """Have all of them fulfilled soon, each for a `fulfil` to come; none if nobody has time for it before."""
        return self._pool.ahead(errands, timeout=timeout) if self._pool is not None else []

    def content(self, job: Job, output: str, *, timeout: float | None = None, look: Look | None = None) -> bytes:
        """Ensure ``job`` and read one of its outputs, a small one."""
        return self._healed(job, timeout, look or Look(), lambda answer: self.store.read(answer.blob(output)))

    def _steps(self, jobs: Iterable[Job], look: Look) -> Iterator[Step]:
        """What led to the answers of ``jobs``, and these; a stage that ran twice took the sum of both."""
        taken: dict[str, float] = {}
        for job in reach_of(jobs).jobs:
            key = self._resolve(job, look)
            record = self._answered(key, look) if key is not None else None
            if record is not None:
                taken[job.stage.name] = taken.get(job.stage.name, 0.0) + record.seconds
        return (Step(stage, seconds) for stage, seconds in taken.items())

    def _read(self, answer: Answer, output: str, look: Look) -> bytes:
        """An output of what was just ensured."""
        try:
            return self.store.read(answer.blob(output))
        except Lost:
            return self.content(answer.job, output, look=look)

    def _healed(self, job: Job, timeout: float | None, look: Look, use: Callable[[Answer], T]) -> T:
        """What ``use`` makes of the answer; made again where its blobs turn out to be lost."""
        for _ in range(_HEALINGS):
            answer = self.ensure(job, timeout=timeout, look=look)
            try:
                return use(answer)
            except Lost as lost:
                again = str(lost)
        raise StoreError(f"{job}: {again} after it was made {_HEALINGS} times; check the disk")

    # ---- keys ----

    def _resolve(self, job: Job, look: Look) -> Key | None:
        """The key of ``job`` as far as records tell: None when one before it has no answer yet."""
        if (known := look.keys.get(job)) is not None:
            return known
        results: dict[str, Given] = {}
        for role, source in _jobs(job.inputs):
            key = self._resolve(source, look)
            record = self._answered(key, look) if key is not None else None
            if record is None:
                return None
            results[role] = record.results
        return self._key(job, results, look)

    def _key(self, job: Job, results: Mapping[str, Given], look: Look) -> Key:
        if (key := look.keys.get(job)) is None:
            files = {role: self._file(job, role, source, look).digest for role, source in _files(job.inputs)}
            key = look.keys[job] = key_of(job, self._code, {**results, **files})
        return key

    def _file(self, job: Job, role: str, source: FileInput, look: Look) -> Fingerprint:
        try:
            if (found := look.files.get(source.path)) is None:
                found = look.files[source.path] = self._memo.fingerprint(source.path)
            if source.sha256 not in (None, found.digest):
                raise SourceError(f"{source.path}: changed since it was looked at; run again when it is complete")
        except SourceError as error:
            error.add_note(f"input {role} of {job}")
            raise
        return found

    def _answered(self, key: Key, look: Look) -> Record | None:
        """The record of ``key``, whether or not its blobs are there."""
        if key.digest in look.records:
            return look.records[key.digest]
        record = self.store.record(key.digest)
        if record is not None:
            look.records[key.digest] = record
        return record

    def _recalled(self, key: Key, look: Look) -> Record | None:
        """The record of ``key`` if all its blobs are there."""
        record = self._answered(key, look)
        return None if record is None or self.store.missing(record) else record

    # ---- making ----

    def _provide(self, job: Job, look: Look) -> Answer:
        return self._recall(job, look) or self._make(job, look)

    def _recall(self, job: Job, look: Look) -> Answer | None:
        key = self._resolve(job, look)
        record = self._recalled(key, look) if key is not None else None
        return self._hit(job, key, record) if key is not None and record is not None else None

    def _make(self, job: Job, look: Look) -> Answer:
        answers = {role: self._provide(source, look) for role, source in _jobs(job.inputs)}
        key = self._key(job, {role: answer.record.results for role, answer in answers.items()}, look)
        if (record := self._recalled(key, look)) is not None:  # what came before was made anew, and is the same
            return self._hit(job, key, record)
        answers |= {role: self._provide(source, look) for role, source in _jobs(job.aside)}
        asked = time.perf_counter()
        with self.store.lock(key.digest, self._patience):
            waited = time.perf_counter() - asked
            if waited > _WORTH_TELLING:
                self._tell("waited", job, key, seconds=waited)
            if (record := self._recalled(key, look)) is not None:
                return self._hit(job, key, record)
            return self._run(job, key, answers, look)

    def _run(self, job: Job, key: Key, answers: Mapping[str, Answer], look: Look) -> Answer:
        why = self._why(job, key)
        self._tell("run", job, key, why=str(why))
        started = time.perf_counter()
        try:
            record = self._record(job, key, answers, look)
        except Lost:
            raise
        except Exception as error:
            seconds = time.perf_counter() - started
            self._tell("failed", job, key, why=str(error).partition("\n")[0], seconds=seconds)
            error.add_note(f"in {job}")
            raise
        self._history.note(job, key.digest)
        seconds = time.perf_counter() - started
        self._tell("made", job, key, why=str(why), seconds=seconds, size=record.size)
        return Answer(job, key, record, why, seconds)

    def _record(self, job: Job, key: Key, answers: Mapping[str, Answer], look: Look) -> Record:
        """Run the stage and publish what it made."""
        started = time.perf_counter()
        mine = self._origin(job, key, look)
        given: dict[str, Path | Answered] = {role: source.path for role, source in _files(job.sources)}
        given |= {
            role: Answered(self._origin(answer.job, answer.key, look), answer.record, bool(answer.job.aside))
            for role, answer in answers.items()
        }
        # A stage gets params as the key has them: sorted names, lists for tuples, the same in every process.
        params = json.loads(digest.canonical(dict(job.params)))
        with self.store.scratch() as folder:
            out = Outputs(self.store, folder)
            job.stage.run(Inputs(self.store, self._shelf, given), params, out)
            self._refuse_if_changed(job, mine)
            outputs, references = out.taken()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = Record(key.question, outputs, references, time.perf_counter() - started, now)
            self.store.publish(record)
            look.records[key.digest] = record
        for handed in out.handed_over:
            self._shelf.put(mine, handed.name, handed.value, handed.copy)
        return record

    def _origin(self, job: Job, key: Key, look: Look) -> Origin:
        files = {source.path: self._file(job, role, source, look) for role, source in _files(job.sources)}
        return Origin(key.digest, tuple(sorted(files.items())))

    def _refuse_if_changed(self, job: Job, origin: Origin) -> None:
        """Raise rather than store an answer under a question that nobody asked."""
        for path, before in origin.files:
            if self._memo.fingerprint(path) != before:
                raise StageError(f"{path}: changed while {job} read it; run again when it is complete")
        for module in self._code.changed(job.stage):
            raise StageError(f"{job}: the code of {module} was edited meanwhile; run again")

    def _ask_pool(self, pool: Pool, job: Job, timeout: float | None) -> Answer:
        started = time.perf_counter()
        done = pool.run(Errand((job,)), timeout=timeout, listener=self.listener)
        said = done.answers[job.stage.name]
        record = self.store.record(said.key)
        if record is None:
            raise StoreError(f"{job}: its record was removed as soon as it was made; is a second program cleaning up?")
        return Answer(job, Key(record.question), record, said.why, time.perf_counter() - started)

    # ---- telling ----

    def _hit(self, job: Job, key: Key, record: Record) -> Answer:
        self._history.note(job, key.digest)
        self.store.used(key.digest)
        self._tell("hit", job, key, seconds=record.seconds, size=record.size)
        return Answer(job, key, record, None, 0.0)

    def _why(self, job: Job, key: Key) -> Reason:
        record = self.store.record(key.digest)
        if record is not None:
            missing = set(self.store.missing(record))
            named = [name for name, output in record.outputs.items() if output.blob in missing]
            return Reason("lost", tuple(named or ["a blob that its results speak of"]))
        earlier = self._history.earlier(job)
        if not earlier:
            return Reason("new")
        if key.digest in earlier:
            return Reason("lost", ("its record",))
        records = [record for old in earlier if (record := self.store.record(old)) is not None]
        return reason.changed(key.fields, records)

    def _seconds_last(self, job: Job) -> float | None:
        for key in self._history.earlier(job):
            if (record := self.store.record(key)) is not None:
                return record.seconds
        return None

    def _tell(self, what: What, job: Job, key: Key, *, why: str = "", seconds: float = 0.0, size: int = 0) -> None:
        self.listener(Event(what, job.stage.name, job.subject, why, key.digest, seconds, size))

    def _tell_damage(self) -> None:
        while self.store.damage:
            self.listener(Event("damaged", why=str(self.store.damage.popleft())))


def _each_once(forecasts: Iterable[Forecast]) -> Iterator[Forecast]:
    """The first of each job: what two jobs read is one job."""
    seen: set[int] = set()
    for forecast in forecasts:
        if id(forecast.job) not in seen:
            seen.add(id(forecast.job))
            yield forecast


def _jobs(sources: Mapping[str, Source]) -> Iterator[tuple[str, Job]]:
    return ((role, source) for role, source in sources.items() if isinstance(source, Job))


def _files(sources: Mapping[str, Source]) -> Iterator[tuple[str, FileInput]]:
    return ((role, source) for role, source in sources.items() if isinstance(source, FileInput))
