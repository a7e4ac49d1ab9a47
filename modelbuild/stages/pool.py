"""Worker processes of our own, and who may run when.

A worker is started when there is a job and none is idle, lives as long as the pool and leads a process group of its
own, so that killing it kills whatever it has started. It ends when the pool does, even if that is killed. One that dies
fails its job and nothing else.

A pool belongs to the process that uses it: in a fork it starts afresh, with no workers. Threads may share it.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from modelbuild.errors import StageError
from modelbuild.stages.channel import Channel, error_of
from modelbuild.stages.diary import Diary
from modelbuild.stages.errand import Done, Errand, done_of
from modelbuild.stages.event import Event, Listener
from modelbuild.stages.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BOOT = """
import os, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin, and take time from the other workers
sys.path[:] = {path!r}
from modelbuild.stages.worker import main
main({descriptor}, {diary}, {cache!r}, {store!r}, {stages!r})
"""
_INHERITED: list[Worker] = []
"""Workers of the process that this one is a fork of. Kept, because collecting them would look for their processes."""

_LAST_WORDS = 2_000
_GLANCE = 0.1
"""Seconds between two looks at what a worker does."""
_GOODBYE = 2.0


class Pool:
    """At most ``size`` jobs at once, and no more than ``memory`` bytes of what they declare (one may always run)."""

    _owner: int
    _turns: Turns
    _lock: threading.Lock
    _workers: list[Worker]
    _idle: list[Worker]

    def __init__(self, size: int, cache: Path, store: Path | None = None, *, memory: int | None = None) -> None:
        self._size = size
        self._memory = memory
        self._cache = cache.absolute()
        self._store = (store or cache / "store").absolute()
        self._begin()

    def run(
        self,
        errand: Errand,
        *,
        timeout: float | None,
        listener: Listener,
        meanwhile: Callable[[], None] | None = None,
    ) -> Done:
        """Have a worker fulfil ``errand``, and call ``meanwhile`` while it is at it.

        Waits for its turn; ``timeout`` seconds count anew for each stage that runs.

        Raises what a stage raised; StageError when the worker dies, takes too long, or the pool is killed.
        """
        if self._owner != os.getpid():
            self._begin_in_fork()
        with self._turns.take(errand.memory()):
            while True:
                worker = self._worker(errand)
                try:
                    reply = worker.ask(errand, timeout, listener, meanwhile)
                except NeverBegan:  # it died while it was idle, which is not the errand's fault
                    error = worker.obituary(f"{errand.jobs[0]}: no worker can be started")
                    self._dismiss(worker)
                    if worker.is_new:
                        raise error from None
                except BaseException:  # it died; or Ctrl-C, and the channel is in the middle of something
                    self._dismiss(worker)
                    raise
                else:
                    self._keep(worker)
                    return reply.answer()

    def kill(self) -> None:
        """Stop everything at once; whoever waits gets a StageError. For Ctrl-C: nothing is left half published."""
        self._turns.stop()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.kill()

    def close(self) -> None:
        """Let idle workers go in peace. A busy one stops, and the thread that waits for it gets a StageError."""
        self._turns.stop()
        with self._lock:
            workers, idle = list(self._workers), list(self._idle)
            self._idle.clear()
        for worker in workers:
            worker.hang_up()
        for worker in idle:
            self._remove(worker)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        self.close()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._turns = Turns(self._size, self._memory)
        self._lock = threading.Lock()
        self._workers = []
        self._idle = []

    def _begin_in_fork(self) -> None:
        for worker in self._workers:
            worker.leave_to_parent()
        _INHERITED.extend(self._workers)
        self._begin()

    def prepare(self, errand: Errand) -> None:
        """Start a worker that will be asked for such errands soon, so that it imports what it needs meanwhile."""
        with self._lock:
            self._idle.append(self._new(errand))

    def _worker(self, errand: Errand) -> Worker:
        """An idle worker or a new one."""
        with self._lock:
            self._turns.refuse_if_stopped()
            return self._idle.pop() if self._idle else self._new(errand)

    def _new(self, errand: Errand) -> Worker:
        worker = Worker(self._cache, self._store, sorted({job.stage.address for job in errand.table}))
        self._workers.append(worker)
        return worker

    def _keep(self, worker: Worker) -> None:
        worker.is_new = False
        with self._lock:
            if not self._turns.stopped:
                self._idle.append(worker)
                return
        self._remove(worker)

    def _dismiss(self, worker: Worker) -> None:
        worker.kill()
        self._remove(worker)
        self._turns.refuse_if_stopped()

    def _remove(self, worker: Worker) -> None:
        with self._lock:
            self._workers.remove(worker)
        worker.close()


class NeverBegan(Exception):
    """The worker was gone before it took the errand."""


class Reply(NamedTuple):
    """What a living worker replies; an error is the errand's, not the worker's."""

    message: dict[str, Any]

    def answer(self) -> Done:
        if "error" in self.message:
            raise error_of(self.message["error"])
        return done_of(self.message["done"])


class Worker:
    """This side of a worker process."""

    def __init__(self, cache: Path, store: Path, stages: Sequence[str]) -> None:
        """``stages`` are the addresses of those that it imports before it is asked for anything."""
        self.is_new = True
        ours, theirs = socket.socketpair()
        self._diary = Diary.new()
        shared = {"descriptor": theirs.fileno(), "diary": self._diary.fileno()}
        boot = _BOOT.format(path=sys.path, cache=str(cache), store=str(store), stages=stages, **shared)
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the worker lives; shown if it dies
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                pass_fds=shared.values(),
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        # A library's forked helper may hold the socket open after the worker's death: the process itself is watched.
        self._life = os.pidfd_open(self._process.pid)
        self._signs = select.poll()
        for descriptor in (self._channel.fileno(), self._life):
            self._signs.register(descriptor, select.POLLIN)
        self._ending = threading.Lock()

    def ask(
        self, errand: Errand, timeout: float | None, listener: Listener, meanwhile: Callable[[], None] | None
    ) -> Reply:
        """Raises NeverBegan, or StageError when the worker died or was killed over the errand."""
        self._diary.begin()
        try:
            self._channel.send(errand.plain())
        except ConnectionError:
            raise NeverBegan from None
        if meanwhile is not None:
            meanwhile()
        at: Event | None = None
        glance = _GLANCE if timeout is None else min(_GLANCE, timeout)
        deadline = math.inf
        while True:
            ready = _ready(self._signs, time.monotonic() + glance)
            message = self._channel.receive() if self._channel.fileno() in ready else None
            for event in self._diary.news():
                listener(event)
                if event.what == "run":
                    at = event
                    deadline = time.monotonic() + (timeout or math.inf)
            if message is not None:
                return Reply(message)
            if at is None and ready:
                raise NeverBegan
            if at is not None and ready:
                raise self._failed(at, listener, self._end())
            if at is not None and time.monotonic() > deadline:
                self.kill()
                raise self._failed(at, listener, f"took longer than {timeout:g} s and was stopped")

    def obituary(self, what: str, how: str | None = None) -> StageError:
        """An error that quotes what the process printed last."""
        error = StageError(f"{what}: {how or self._end()}")
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, size - _LAST_WORDS))
        words = self._printed.read().decode(errors="replace").strip()
        if words:
            error.add_note(f"its last words:\n{words}")
        return error

    def kill(self) -> None:
        """Kill the process and everything in its group."""
        with self._ending:
            if self._process.returncode is None:  # not reaped, so the number is still its own
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def hang_up(self) -> None:
        """Have an idle worker end and a busy one kill itself. Whoever waits for it here sees that at once."""
        self._channel.hang_up()

    def close(self) -> None:
        """Wait for the end, for a while, and give back what it holds here. Once, when nobody waits for it."""
        self._channel.hang_up()
        _readable([self._life], time.monotonic() + _GOODBYE)
        self.kill()
        self._channel.close()
        self._diary.close()
        os.close(self._life)
        self._printed.close()

    def leave_to_parent(self) -> None:
        """In a fork: close our copy of the channel, which would hide the parent's death from the worker."""
        self._channel.close()

    def _end(self) -> str:
        """How the process ended, now that it is dead or dying; what it has started ends too."""
        with self._ending:
            if self._process.returncode is None:
                _readable([self._life], None)
                os.killpg(self._process.pid, signal.SIGKILL)  # its children: a dead leader keeps its exit code
                self._process.wait()
        code = self._process.returncode
        if code >= 0:
            return f"its worker ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"its worker was killed by {name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"

    def _failed(self, at: Event, listener: Listener, how: str) -> StageError:
        listener(Event("failed", at.stage, at.subject, how, at.key))
        return self.obituary(f"{at.stage} of {at.subject}", how)


def _readable(descriptors: list[int], deadline: float | None) -> set[int]:
    """Which of them can be read without waiting; empty at ``deadline``."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return _ready(poll, deadline)


def _ready(poll: select.poll, deadline: float | None) -> set[int]:
    wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    return {descriptor for descriptor, _ in poll.poll(wait)}
