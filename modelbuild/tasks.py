"""The doit tasks of a manifest. A ``dodo.py`` takes them over and may define others beside::

    from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source

doit decides *whether* something runs, the store remembers *what* it gave. Losing doit's database costs looking
everything up once; ``doit forget --all`` does the same. Tasks depend on each other by name only: no file of ours is
hashed by doit.

doit's exit codes: 0 all is well; 1 a task failed; 2 a task broke, or with ``-c`` one waited for another that failed;
3 the manifest or the command line is wrong.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeAlias, TypeVar

from doit.exceptions import BaseFail, InvalidDodoFile, TaskFailed, UnmetDependency
from doit.reporter import ConsoleReporter
from doit.task import Task

from modelbuild import disk, telling
from modelbuild.collector import end_uncollected
from modelbuild.errors import BuildError, ManifestError
from modelbuild.manifest import Manifest, Model, Variant, load
from modelbuild.project import MANIFEST, REPORTS, Checkout, abreast, names, place
from modelbuild.stages import Event
from modelbuild.telling import Row, Screen

gc.set_threshold(50_000)  # thousands of tasks, all in use to the end: visiting them takes a fifth of a run

DOIT_CONFIG: dict[str, Any]
"""doit's settings. Made when it is asked for, because doit wants the folder of its database to be there."""

TaskDict: TypeAlias = dict[str, Any]
Asked = TypeVar("Asked", bound=Callable[..., Any])

_OURS = {"modelbuild": True}
_ABREAST = 2
"""Models made in turn. Nobody knows yet whether there will be a ``-n``; more of them would have to be kept in mind."""

_BROKEN_MANIFEST = "_manifest"
_COMMON: TaskDict = {"io": {"capture": False}, "meta": _OURS}


def __getattr__(name: str) -> Any:
    if name != "DOIT_CONFIG":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    cache_folder = Path("cache")
    try:
        with disk.explained(cache_folder):
            cache_folder.mkdir(exist_ok=True)
    except BuildError as error:
        raise InvalidDodoFile(str(error)) from error
    return {
        # Two builds at once: sqlite keeps what both record. And it writes nothing when there is nothing to write.
        "backend": "sqlite3",
        "dep_file": str(cache_folder / "doit.db"),
        "par_type": "thread",  # a process of doit's that is killed hangs doit; the processes of our own pool do not
        "reporter": Reporter,
        "verbosity": 2,
    }


# ---- tasks: doit takes them in the order of these lines, and sources as they are needed ----


def task_build() -> Iterator[TaskDict]:
    """Build what the manifest asks for"""
    yield _group("build", task_build.__doc__)
    if (manifest := _manifest()) is None:
        return
    for variant in abreast(manifest.variants(), _ABREAST):
        folder = f"build/{place(variant)}"
        yield {
            "name": str(variant),
            "doc": f"build {variant}",
            "actions": [(_told, [_make, variant])],
            "task_dep": [f"source:{variant.model}"],
            "targets": [f"{folder}/{name}" for name in names(variant)],
            "uptodate": [(_is_built, [variant])],
            "clean": [(_clean, [variant])],
            **_COMMON,
        }
    for model in manifest.models.values():
        if variants := model.variants():
            yield {
                "name": model.id,
                "doc": f"build {model.id} for all of its targets",
                "actions": None,
                "task_dep": [f"build:{variant}" for variant in variants],
                "uptodate": [True],
                "meta": _OURS,
            }


def task_source() -> Iterator[TaskDict]:
    """Bring the files of the models onto this machine"""
    yield _group("source", task_source.__doc__)
    if (manifest := _manifest()) is None:
        yield {"basename": _BROKEN_MANIFEST, "actions": [_refuse], **_COMMON}
        return
    for model in manifest.models.values():
        yield {
            "name": model.id,
            "doc": str(model.source),
            "actions": [(_told, [_fetch, model])],
            "uptodate": [(_is_fetched, [model])],
            "clean": [(_clean_source, [model])],
            **_COMMON,
        }


def task_report() -> TaskDict:
    """Say what was built in build/report.json and build/report.html"""
    return {
        "actions": [(_told, [_report])],
        "task_dep": ["build"],
        "targets": [str(Path("build", name)) for name in REPORTS],
        "uptodate": [_is_reported],
        "clean": [_clean_report],
        **_COMMON,
    }


def _group(name: str, doc: str | None) -> TaskDict:
    """Explicit, because doit would run, and note, a group of its own making every time."""
    depends = [_BROKEN_MANIFEST] if _manifest() is None else []
    return {"basename": name, "name": None, "doc": doc, "uptodate": [True], "task_dep": depends, "meta": _OURS}


# ---- what they do ----


@cache
def _manifest() -> Manifest | None:
    """The manifest of the current folder. What is wrong with it is said once, and the tasks of others still run."""
    try:
        return load(MANIFEST)
    except ManifestError as error:
        print(f"{error}\n", file=sys.stderr)  # noqa: T201 - doit has no reporter yet
        return None


@cache
def _checkout() -> Checkout:
    manifest = _manifest()
    assert manifest is not None, "tasks that need a manifest are made of one"
    checkout = Checkout(manifest, listener=_hear)
    weakref.finalize(checkout, _nothing)  # the last registered is the first to run: finalizers come behind ours
    atexit.register(checkout.close)  # whichever reporter is in use, and however the run ends
    return checkout


def _nothing() -> None:
    """The drafts of a store are taken away by a finalizer of theirs; closing may still need them."""


def _hear(event: Event) -> None:
    if Reporter.screen is not None:
        Reporter.screen.hear(event)


def _refuse() -> TaskFailed:
    return TaskFailed(f"{MANIFEST} is not in order: see above")


def _asked_often(function: Asked) -> Asked:
    """Have ``function`` carry its signature, which doit takes at every call: more work than the answer."""
    vars(function)["__signature__"] = inspect.signature(function)
    return function


@_asked_often
def _told(work: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any] | TaskFailed:
    """What ``work`` gives; an error that a person can mend becomes doit's kind, without a traceback."""
    try:
        return work(*given)
    except BuildError as error:
        return TaskFailed(telling.failure(error))


def _fetch(model: Model) -> dict[str, Any]:
    found = _checkout().sources.fetch(model, Reporter.screen.fetching if Reporter.screen is not None else None)
    return {"files": [[file.name, file.sha256] for file in found]}


@_asked_often
def _is_fetched(task: Task, values: Mapping[str, Any], model: Model) -> bool:  # noqa: ARG001 - doit goes by place
    return "files" in values and _checkout().sources.is_noted(model)


def _make(variant: Variant) -> dict[str, Any]:
    return {"row": list(Row.of(_checkout().make(variant)))}


@_asked_often
def _is_built(task: Task, values: Mapping[str, Any], variant: Variant) -> bool:  # noqa: ARG001 - doit goes by place
    """After ``doit forget`` there is no row among the values: the task runs, and the store may know the answer."""
    try:
        return "row" in values and _checkout().is_current(variant)
    except BuildError:  # the task will meet it too, and say it
        return False


def _report() -> dict[str, Any]:
    _checkout().reporting.write()
    return {"report": True}


def _is_reported(task: Task, values: Mapping[str, Any]) -> bool:  # noqa: ARG001 - doit goes by place
    return "report" in values and _checkout().reporting.is_current()


def _clean_source(model: Model, dryrun: bool) -> None:
    if not dryrun:
        _checkout().sources.forget(model)


def _clean(variant: Variant, dryrun: bool) -> None:
    _remove(lambda: _checkout().clean(variant, dry=dryrun))


def _clean_report(dryrun: bool) -> None:
    if _manifest() is not None:
        _remove(lambda: _checkout().reporting.clean(dry=dryrun))


def _remove(work: Callable[[], Iterable[Path]]) -> None:
    """Say what ``work`` removes as doit does of its own, and what a person can mend without a traceback."""
    try:
        for path in work():
            print(f"removing {path.relative_to(Path.cwd())}")  # noqa: T201
    except BuildError as error:
        print(telling.failure(error), file=sys.stderr)  # noqa: T201


# ---- what is shown ----


class Reporter(ConsoleReporter):  # type: ignore[misc]
    """Ours in a line each, what is up to date as a number; other people's as doit shows them."""

    desc = "a line a task that ran, and a table"
    screen: ClassVar[Screen | None] = None

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        Reporter.screen = self._screen = Screen(outstream)
        self._rows: list[Row] = []
        self._failed: list[str] = []
        self._current = 0
        self._is_refused = False

    def write(self, text: str) -> None:
        self._screen.line(text.removesuffix("\n"))

    def initialize(self, tasks: dict[str, Task], selected_tasks: list[str]) -> None:
        sys.excepthook = _without_traceback_of_interrupts
        gc.freeze()  # so many tasks, all in use to the end: one search of them for cycles takes a tenth of a second
        atexit.register(end_uncollected)
        selected_tasks[:] = dict.fromkeys(_members_first(tasks, selected_tasks))  # before doit works through them
        if (manifest := _manifest()) is not None:
            try:
                _checkout().expect(_variants_of(manifest, tasks, selected_tasks))
            except BuildError as error:  # what the environment asks for means nothing
                raise InvalidDodoFile(str(error)) from error

    def execute_task(self, task: Task) -> None:
        if not _is_ours(task):
            super().execute_task(task)

    def skip_uptodate(self, task: Task) -> None:
        if not _is_ours(task):
            super().skip_uptodate(task)
        elif task.name.startswith("build:") and task.actions:
            self._current += 1

    def add_success(self, task: Task) -> None:
        if _is_ours(task) and "row" in task.values:
            self._tell(Row(*task.values["row"]))

    def _tell(self, row: Row) -> None:
        self._rows.append(row)
        self.write(str(row))

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        if not _is_ours(task) or not isinstance(fail, TaskFailed | UnmetDependency):
            super().add_failure(task, fail)
        elif task.name == _BROKEN_MANIFEST:
            self._is_refused = True
        elif isinstance(fail, TaskFailed):
            self._failed.append(task.name)
            self.write(f"failed  {task.name.partition(':')[2]}  {fail.message}")

    def complete_run(self) -> None:
        if _checkout.cache_info().currsize:  # there is one
            for made in _checkout().stop():  # a task failed, and doit asks for no more
                self._tell(Row.of(made))
        self._screen.close()
        super().complete_run()
        if self._is_refused:  # the one way to doit's exit code 3, which says that tasks cannot be made
            raise InvalidDodoFile(f"{MANIFEST} is not in order, nothing of it is built: see above")
        if self._rows or self._failed or self._current:
            self.write(telling.table(self._rows, self._current, self._failed))


def _members_first(tasks: dict[str, Task], selected: Iterable[str]) -> Iterator[str]:
    """What doit comes to, in its own order, but for sources: each is left to the first that needs it.

    From a group doit goes on to what all of its members need, and would see to all sources first. This way the first
    model is made while the files of the last are still to be fetched.
    """
    seen: set[str] = set()
    waiting = [*selected][::-1]
    while waiting:
        task = tasks[waiting.pop()]
        if task.name in seen:  # all that it depends on has been told
            yield task.name
            continue
        seen.add(task.name)
        waiting.append(task.name)
        if not (_is_ours(task) and task.subtask_of):
            waiting += [name for name in reversed(task.task_dep) if name not in seen]


def _variants_of(manifest: Manifest, tasks: dict[str, Task], selected: Iterable[str]) -> Iterator[Variant]:
    """What may be built for those tasks, in the order in which doit comes to it.

    Less what tasks of others have to go before: nobody knows what they do to its files, or whether they fail.
    """
    variants = {f"build:{variant}": variant for variant in manifest.variants()}
    seen: set[str] = set()
    waiting = [*selected][::-1]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += reversed(tasks[name].task_dep)
            if name in variants and _depends_on_no_other(tasks[name], tasks, variants[name]):
                yield variants[name]


def _depends_on_no_other(task: Task, tasks: dict[str, Task], variant: Variant) -> bool:
    source = f"source:{variant.model}"
    before = {*task.task_dep, *task.setup_tasks, *task.calc_dep}
    before |= {*tasks[source].task_dep, *tasks[source].setup_tasks, *tasks[source].calc_dep}
    return before == {source}


def _is_ours(task: Task) -> bool:
    return bool(task.meta and task.meta.get("modelbuild"))


def _without_traceback_of_interrupts(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted; what was finished is kept", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, error, at)
