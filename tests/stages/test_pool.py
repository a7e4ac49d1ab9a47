"""Workers that live, die, hang and are killed. Real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import toys

from modelbuild.errors import Bug, EnvironmentTrouble, StageError, UnsupportedModel
from modelbuild.stages import Build, Done, Errand, Event, Job, Shipment
from modelbuild.stages.channel import error_of, plain_error
from modelbuild.stages.pending import Pending
from modelbuild.stages.pool import Pool
from modelbuild.store import LocalStore

PATIENCE = 25.0
"""Less than what hangs on purpose would take, and long enough for a machine that is busy with other things."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_text("# by hand\nabc")
    return path


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with Pool(2, tmp_path / "cache") as made:
        yield made


@pytest.fixture
def build(tmp_path: Path, pool: Pool, events: list[Event]) -> Build:
    return Build.open(tmp_path / "cache", listener=toys.noting(events), pool=pool)


def workers(log: Path) -> list[str]:
    """The process ids of those who ran `misbehave`."""
    return [line.split()[1] for line in log.read_text().splitlines()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go between the opening and the reading
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (is_so := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so


def wait_for(path: Path) -> str:
    assert wait_until(lambda: path.exists() and path.read_text().endswith("\n")), path
    return path.read_text()


def is_gone(pid: int) -> bool:
    return wait_until(lambda: not is_alive(pid))


def test_a_worker_answers(build: Build, events: list[Event], model: Path, tmp_path: Path) -> None:
    answer = build.ensure(toys.artifact(model))
    assert str(answer.why) == "never built"
    assert build.store.path(answer.blob("m.xml")).read_text() == "ABCCPU"
    assert [(e.what, e.stage) for e in events] == [("run", "load"), ("made", "load"), ("run", "emit"), ("made", "emit")]


def test_a_worker_answers_as_this_process_would(build: Build, model: Path, tmp_path: Path) -> None:
    there = build.ensure(toys.artifact(model))
    here = Build.open(tmp_path / "another").ensure(toys.artifact(model))
    assert here.key == there.key
    assert here.record.results == there.record.results


def test_a_worker_does_an_errand_as_this_process_would(build: Build, model: Path, tmp_path: Path) -> None:
    job = toys.artifact(model)
    errand = Errand((job,), (Shipment(job, {"x.xml": "m.xml"}, tmp_path / "build"),), {"xml": (job, "m.xml")})
    there = build.fulfil(errand)
    assert (tmp_path / "build" / "x.xml").read_text() == there.contents["xml"] == "ABCCPU"
    here = Build.open(tmp_path / "another").fulfil(errand)
    assert (here.answers, here.contents) == (there.answers, there.contents)
    assert [step.stage for step in here.steps] == [step.stage for step in there.steps]


def test_a_hit_starts_no_worker(build: Build, pool: Pool, model: Path, tmp_path: Path) -> None:
    Build.open(tmp_path / "cache").ensure(toys.artifact(model))
    assert build.ensure(toys.artifact(model)).was_hit
    assert pool._workers == []


def test_a_worker_lives_on(build: Build, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for n in range(3):
        build.ensure(toys.trouble("nothing", n=n, log=str(log)))
    assert len(set(workers(log))) == 1


def test_an_error_comes_back_whole(build: Build) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        build.ensure(toys.trouble("refuse", "resnet50"))
    assert caught.value.operators["Foo"][0] == 2
    assert caught.value.notes == ["in misbehave of resnet50"]


def test_an_unexpected_error_is_a_bug_with_its_traceback(build: Build) -> None:
    with pytest.raises(Bug, match="ZeroDivisionError: a bug") as caught:
        build.ensure(toys.trouble("break"))
    assert "toys.py" in caught.value.__notes__[-1]


def test_a_killed_worker_fails_its_job_and_no_other(build: Build, events: list[Event]) -> None:
    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(build.ensure, toys.trouble("sleep", "good", seconds=0.5))
        bad = threads.submit(build.ensure, toys.trouble("die", "bad"))
        with pytest.raises(StageError, match=r"misbehave of bad: its worker was killed by SIGKILL \(out of memory\?\)"):
            bad.result(PATIENCE)
        assert good.result(PATIENCE).record.outputs
    assert [e.why for e in events if e.what == "failed"] == ["its worker was killed by SIGKILL (out of memory?)"]
    assert build.ensure(toys.trouble("nothing")).record.outputs


def test_what_a_worker_did_before_it_died_is_known(build: Build, events: list[Event], model: Path) -> None:
    errand = Errand((toys.artifact(model), toys.trouble("die")))
    with pytest.raises(StageError, match="misbehave of m: its worker was killed"):
        build.fulfil(errand)
    assert [(e.what, e.stage) for e in events] == [
        *(("run", "load"), ("made", "load"), ("run", "emit"), ("made", "emit")),
        *(("run", "misbehave"), ("failed", "misbehave")),
    ]


def test_a_stage_that_runs_is_told_of_before_it_ends(build: Build, events: list[Event], tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(build.ensure, toys.trouble("await", file=str(go)))
        told = wait_until(lambda: [e.what for e in events] == ["run"])
        go.touch()
        assert told
        assert asked.result(PATIENCE).record.outputs


def test_a_worker_that_left_a_child_with_its_socket_is_seen_to_be_dead(build: Build) -> None:
    started = time.monotonic()
    with pytest.raises(StageError, match="SIGKILL"):
        build.ensure(toys.trouble("fork"))
    assert time.monotonic() - started < 30  # the child sleeps for a minute


def test_last_words_are_quoted(build: Build) -> None:
    with pytest.raises(StageError, match="ended with exit code 3") as caught:
        build.ensure(toys.trouble("exit"))
    assert "these are my last words" in caught.value.notes[0]


def test_a_worker_that_dies_idle_is_replaced(build: Build, tmp_path: Path) -> None:
    log = tmp_path / "log"
    build.ensure(toys.trouble("nothing", n=1, log=str(log)))
    os.kill(int(workers(log)[0]), signal.SIGKILL)
    build.ensure(toys.trouble("nothing", n=2, log=str(log)))
    assert len(set(workers(log))) == 2


def test_a_worker_that_cannot_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with Pool(1, tmp_path / "cache") as pool, pytest.raises(StageError, match="no worker can be started") as caught:
        pool.run(Errand((toys.trouble("nothing"),)), timeout=None, listener=lambda _: None)
    assert "ModuleNotFoundError" in caught.value.notes[0]


def open_files() -> set[tuple[int, int]]:
    """Device and inode of each: those are told apart from what earlier tests have left to the collector."""
    files = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself, or of what is collected just now
            found = descriptor.stat()
            files.add((found.st_dev, found.st_ino))
    return files


def test_where_no_process_can_be_started_nothing_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = open_files()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with Pool(1, tmp_path / "cache") as pool:
        for _ in range(3):
            with pytest.raises(EnvironmentTrouble, match="Resource temporarily unavailable; free memory and processes"):
                pool.run(Errand((toys.trouble("nothing"),)), timeout=None, listener=lambda _: None)
    assert open_files() <= before


@pytest.fixture
def held(tmp_path: Path, model: Path) -> Iterator[Errand]:
    """Its first stage has to run; the second one seems to be run by somebody else, for as long as the test takes."""
    here = Build.open(tmp_path / "cache")
    emitted = toys.artifact(model)
    answers = [here.ensure(job) for job in (*emitted.before, emitted)]
    store = LocalStore(tmp_path / "cache" / "store")
    for answer in answers:
        store.place("records", answer.key.digest).unlink()
    with store.lock(answers[-1].key.digest, 0.0):
        yield Errand((emitted,))


def test_waiting_for_others_is_not_running(pool: Pool, held: Errand, tmp_path: Path) -> None:
    heard: list[Event] = []
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(pool.run, held, timeout=2.0, listener=toys.noting(heard))
        assert wait_until(lambda: [event.what for event in heard] == ["run", "made"])
        time.sleep(2.5)
        assert not asked.done()
        pool.kill()
        with pytest.raises(StageError, match="the build was stopped"):
            asked.result(PATIENCE)


def test_a_worker_that_dies_between_two_stages_fails_the_errand(pool: Pool, held: Errand) -> None:
    heard: list[Event] = []
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(pool.run, held, timeout=None, listener=toys.noting(heard))
        assert wait_until(lambda: [event.what for event in heard] == ["run", "made"])
        pool._workers[0].kill()
        with pytest.raises(StageError, match="emit of m@cpu:FP32: its worker was killed by SIGKILL"):
            asked.result(PATIENCE)
    assert [event.what for event in heard] == ["run", "made"]


def test_what_was_left_for_others_stops_no_worker(pool: Pool, log: Path) -> None:
    def fail() -> None:
        raise StageError("for another")

    errand = asked("nothing", "one", log=str(log))
    with pytest.raises(StageError, match="for another"):
        pool.run(errand, timeout=None, listener=lambda _: None, meanwhile=fail)
    run(pool, asked("nothing", "two", log=str(log)))
    assert len(workers(log)) == 2
    assert len(set(workers(log))) == 1


def test_whoever_waits_for_a_worker_has_something_else_done_first(pool: Pool) -> None:
    heard: list[Event] = []
    before: list[int] = []
    errand = Errand((toys.trouble("nothing"),))
    pool.run(errand, timeout=None, listener=toys.noting(heard), meanwhile=lambda: before.append(len(heard)))
    assert before == [0]
    assert [event.what for event in heard] == ["run", "made"]


# ---- ahead of who asks ----


def asked(how: str, subject: str = "m", **params: object) -> Errand:
    return Errand((toys.trouble(how, subject, n=subject, **params),))


def run(pool: Pool, errand: Errand, heard: list[Event] | None = None, begun: Pending | None = None) -> Done:
    return pool.run(errand, timeout=None, listener=toys.noting(heard if heard is not None else []), begun=begun)


class Busy(NamedTuple):
    """A worker that is at something until told to ``go``."""

    asked: Future[Done]
    go: Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the little stages of a test take on a busy machine, there is time for more."""
    monkeypatch.setattr("modelbuild.stages.worker._AHEAD", 600.0)


@pytest.fixture
def busy(pool: Pool, tmp_path: Path, log: Path, unhurried: None) -> Iterator[Busy]:
    run(pool, asked("nothing", "quick", log=str(log)))
    go = tmp_path / "go"
    with ThreadPoolExecutor(1) as threads:
        front = threads.submit(run, pool, asked("await", "front", file=str(go), log=str(log)))
        assert wait_until(lambda: len(workers(log)) == 2)
        yield Busy(front, go)
        go.touch()


def test_what_waits_behind_something_is_done_by_the_same_worker_in_order(pool: Pool, busy: Busy, log: Path) -> None:
    errands = [asked("nothing", str(n), log=str(log)) for n in range(3)]
    pending = pool.ahead(errands, timeout=None)
    assert not any(begun.is_over for begun in pending)
    busy.go.touch()
    heard: list[Event] = []
    for errand, begun in reversed([*zip(errands, pending, strict=True)]):
        assert run(pool, errand, heard, begun).answers.keys() == {"misbehave"}
    assert [event.subject for event in heard if event.what == "made"] == ["2", "1", "0"]  # by who asks, as they do
    assert len(workers(log)) == 5
    assert len(set(workers(log))) == 1


def test_nothing_is_begun_where_a_worker_would_have_to_be_started_for_it(pool: Pool) -> None:
    assert not pool.has_room()
    assert pool.ahead([asked("nothing")], timeout=None) == []
    run(pool, asked("nothing"))
    assert not pool.has_room()
    assert pool.ahead([asked("nothing")], timeout=None) == []


def test_there_is_room_until_a_worker_has_enough(pool: Pool, busy: Busy, log: Path) -> None:
    assert pool.has_room()
    errands = [asked("nothing", str(n), log=str(log)) for n in range(7)]
    assert len(pool.ahead(errands, timeout=None)) == 7
    assert not pool.has_room()
    assert pool.ahead([asked("nothing")], timeout=None) == []


def test_there_is_no_room_where_somebody_waits_for_a_place(tmp_path: Path, log: Path, unhurried: None) -> None:
    with Pool(1, tmp_path / "cache") as pool, ThreadPoolExecutor(2) as threads:
        run(pool, asked("nothing", "quick", log=str(log)))
        first = threads.submit(run, pool, asked("await", file=str(tmp_path / "go"), log=str(log)))
        assert wait_until(pool.has_room)
        second = threads.submit(run, pool, asked("nothing", "behind"))
        assert wait_until(lambda: not pool.has_room())
        (tmp_path / "go").touch()
        first.result()
        second.result()


def test_nothing_waits_behind_what_may_take_long(pool: Pool, tmp_path: Path, log: Path, unhurried: None) -> None:
    with ThreadPoolExecutor(1) as threads:  # nobody knows yet how quick the worker is
        first = threads.submit(run, pool, asked("await", file=str(tmp_path / "go"), log=str(log)))
        wait_for(log)
        assert pool.ahead([asked("nothing")], timeout=None) == []
        (tmp_path / "go").touch()
        first.result()


@pytest.mark.usefixtures("busy")
def test_nothing_big_waits_behind_another(pool: Pool, tmp_path: Path) -> None:
    model = tmp_path / "big.onnx"
    with model.open("wb") as file:
        file.truncate(100 << 20)
    assert pool.ahead([Errand((toys.artifact(model),))], timeout=None) == []
    assert len(pool.ahead([asked("nothing")], timeout=None)) == 1


@pytest.mark.usefixtures("unhurried")
def test_what_shares_its_beginnings_waits_behind_them(pool: Pool, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_text("other")

    def errand(path: Path, how: str, what: str) -> Errand:
        said = {"file": str(tmp_path / what), "log": f"{tmp_path}/{path.name}.log"}
        return Errand((toys.artifact(path, f"{path.name}@{what}"), toys.trouble(how, f"{what} {path.name}", **said)))

    def at_both(what: str) -> list[Future[Done]]:
        """Have both workers at something until there is a file of that name."""
        asks = [threads.submit(run, pool, errand(path, "await", what)) for path in (model, other)]
        assert wait_until(lambda: all(log.exists() and len(workers(log)) > len(before) for log in logs))
        return asks

    logs = [tmp_path / f"{path.name}.log" for path in (model, other)]
    with ThreadPoolExecutor(2) as threads:
        before: list[str] = []
        first = at_both("start")  # nobody knows yet how quick they are
        (tmp_path / "start").touch()
        assert all(done.result() for done in first)
        before = workers(logs[0])
        second = at_both("go")
        likes = [errand(path, "nothing", f"like {n}") for n in range(2) for path in (other, model)]
        pending = [begun for like in likes for begun in pool.ahead([like], timeout=None)]
        (tmp_path / "go").touch()
        assert all(done.result() for done in second)
        assert all(run(pool, like, begun=begun) for like, begun in zip(likes, pending, strict=True))
    of_model, of_other = (workers(log)[1:] for log in logs)
    assert (len(of_model), len(of_other)) == (3, 3)
    assert len(set(of_model)) == len(set(of_other)) == 1
    assert of_model[0] != of_other[0]


def test_a_worker_that_dies_fails_what_it_was_at_and_nothing_behind(pool: Pool, busy: Busy, log: Path) -> None:
    errands = [asked(how, subject, log=str(log)) for how, subject in (
        ("nothing", "before"), ("die", "bad"), ("nothing", "behind")
    )]  # fmt: skip
    before, bad, behind = pool.ahead(errands, timeout=None)
    busy.go.touch()
    heard: list[Event] = []
    assert run(pool, errands[2], heard, behind).answers
    with pytest.raises(StageError, match="misbehave of bad: its worker was killed by SIGKILL"):
        run(pool, errands[1], heard, bad)
    assert run(pool, errands[0], heard, before).answers
    assert busy.asked.result()
    assert [(event.what, event.subject) for event in heard if event.what != "run"] == [
        ("made", "behind"),
        ("failed", "bad"),
        ("made", "before"),
    ]
    *first, behind_it = workers(log)
    assert len(set(first)) == 1
    assert behind_it not in first


def test_too_slow_a_job_is_stopped_where_nobody_waits_for_it_yet(pool: Pool, busy: Busy) -> None:
    errands = [asked("sleep", "slow", seconds=60), asked("nothing", "behind")]
    slow, behind = pool.ahead(errands, timeout=0.5)
    busy.go.touch()
    assert run(pool, errands[1], begun=behind).answers
    with pytest.raises(StageError, match=r"misbehave of slow: took longer than 0\.5 s"):
        run(pool, errands[0], begun=slow)


def test_what_was_begun_ends_with_the_pool(pool: Pool, busy: Busy, log: Path) -> None:
    errand = asked("nothing")
    (pending,) = pool.ahead([errand], timeout=None)
    pool.close()
    with pytest.raises(StageError, match="the build was stopped"):
        busy.asked.result()
    with pytest.raises(StageError, match="the build was stopped"):
        run(pool, errand, begun=pending)
    assert is_gone(int(workers(log)[0]))


def test_no_more_workers_run_than_there_are_who_wait(pool: Pool, busy: Busy, log: Path) -> None:
    assert pool.ahead([asked("sleep", "ahead", seconds=1.0, log=str(log))], timeout=None)
    busy.go.touch()
    assert busy.asked.result()
    run(pool, asked("nothing", "asked", log=str(log)))  # by the only one who is there: after what was begun for later
    assert len(workers(log)) == 4
    assert len(set(workers(log))) == 1


def test_too_slow_a_job_is_stopped_with_all_it_started(build: Build, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(StageError, match=r"misbehave of m: took longer than 3 s and was stopped"):
        build.ensure(toys.trouble("hang", log=str(log)), timeout=3.0)
    worker, started = workers(log)
    assert is_gone(int(worker))
    assert is_gone(int(started))


def test_workers_lead_groups_of_their_own(build: Build, tmp_path: Path) -> None:
    log = tmp_path / "log"
    build.ensure(toys.trouble("nothing", log=str(log)))
    pid = int(workers(log)[0])
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_killing_the_pool_stops_everyone_at_once(build: Build, pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    errors: list[str] = []

    def ask(subject: str) -> None:
        try:
            build.ensure(toys.trouble("sleep", subject, n=subject, seconds=30, log=str(log)))
        except StageError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]  # one of them waits for its turn
    for thread in threads:
        thread.start()
    assert wait_until(lambda: log.exists() and len(workers(log)) == 2)
    pool.kill()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == ["the build was stopped"] * 3
    assert all(is_gone(int(pid)) for pid in workers(log))


def test_a_closed_pool_lets_its_workers_tidy_up(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelbuild.stages.process._GOODBYE", PATIENCE)  # however slow the machine is to end it
    with Pool(1, tmp_path / "cache") as pool:
        Build.open(tmp_path / "cache", pool=pool).ensure(toys.artifact(model))
    assert list((tmp_path / "cache" / "store" / "v1" / "drafts").iterdir()) == []


def test_a_fork_has_workers_of_its_own(build: Build, tmp_path: Path) -> None:
    log = tmp_path / "log"
    build.ensure(toys.trouble("nothing", n=1, log=str(log)))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            build.ensure(toys.trouble("nothing", n=2, log=str(log)))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    build.ensure(toys.trouble("nothing", n=3, log=str(log)))
    first, forked, second = workers(log)
    assert first == second != forked


PARENT = """
import sys; from pathlib import Path
import toys; from modelbuild.stages import Build; from modelbuild.stages.pool import Pool
from modelbuild.store import LocalStore
root = Path(sys.argv[1])
build = Build.open(root / "cache", pool=Pool(1, root / "cache"))
build.ensure(toys.trouble("sleep", seconds=60, log=str(root / "log")))
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_busy_worker_does_not_outlive_its_build(tmp_path: Path, sent: signal.Signals) -> None:
    path = os.pathsep.join([str(Path(toys.__file__).parent), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL
    )
    pid = int(wait_for(tmp_path / "log").split()[1])
    parent.send_signal(sent)
    assert parent.wait(PATIENCE) != 0
    assert is_gone(pid)
    assert not list((tmp_path / "cache" / "store" / "v1").glob("records/*/*"))


def test_errors_cross_processes() -> None:
    error = UnsupportedModel({"Foo": (1, "why")})
    error.add_note("in a")
    back = error_of(plain_error(error))
    assert isinstance(back, UnsupportedModel)
    assert (str(back), back.notes) == (str(error), ["in a"])


def test_running_out_of_memory_is_the_jobs_failure() -> None:
    assert str(error_of(plain_error(MemoryError()))) == "out of memory"


def test_only_errors_of_ours_are_made_from_data() -> None:
    with pytest.raises(Bug, match="no error of ours"):
        error_of({"module": "builtins", "kind": "SystemExit", "arguments": [], "notes": []})


def test_memory_is_what_the_stages_say(model: Path) -> None:
    assert Errand((toys.artifact(model),)).memory() >= model.stat().st_size
    assert Errand((Job(toys.keep, "m"),)).memory() > 0
