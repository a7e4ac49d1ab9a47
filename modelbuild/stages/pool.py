"""Worker processes of our own, and who may run when.

A worker is started when there is a job and none is idle, lives as long as the pool and leads a process group of its
own, so that killing it kills whatever it has started. It ends when the pool does, even if that is killed. One that dies
fails its job and nothing else.

Behind what it is at, a worker takes small errands that nobody waits for yet: it need not idle while whoever asks notes
what came of the last one. What was taken that way is done by the one who took it, in order.

A pool belongs to the process that uses it: in a fork it starts afresh, with no workers. Threads may share it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from modelbuild.stages.pending import NeverBegan, Pending
from modelbuild.stages.process import Process
from modelbuild.stages.turns import Turns
from modelbuild.stages.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from modelbuild.stages.errand import Done, Errand
    from modelbuild.stages.event import Listener

_INHERITED: list[Worker] = []
"""Workers of the process that this one is a fork of. Kept, because collecting them would look for their processes."""


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
        begun: Pending | None = None,
    ) -> Done:
        """Have a worker fulfil ``errand``, unless it was ``begun``, and call ``meanwhile`` while it is at it.

        Waits for its turn; ``timeout`` seconds count anew for each stage that runs.

        Raises what a stage raised; StageError when the worker dies, takes too long, or the pool is killed;
        EnvironmentTrouble when none can be started; and what ``meanwhile`` raised, once the errand is fulfilled.
        """
        self._begin_in_fork()
        with self._turns.attend():
            pending = begun or self._ask(errand, timeout)
            try:
                failure = _failure_of(meanwhile) if meanwhile is not None else None
                while True:
                    try:
                        done = pending.wait(listener)
                        break
                    except NeverBegan:
                        pending = self._ask(errand, timeout)
            except BaseException:
                if not pending.is_over:  # Ctrl-C, or whoever listens cannot any more
                    pending.stop()
                self._turns.refuse_if_stopped()
                raise
        if failure is not None:
            raise failure
        return done

    def prepare(self, errand: Errand) -> None:
        """Start a worker that will be asked for such errands soon, so that it imports what it needs meanwhile."""
        with self._lock:
            self._idle.append(self._new(errand))

    def has_room(self) -> bool:
        """Whether `ahead` may find a worker for anything."""
        self._begin_in_fork()
        with self._lock:
            return not self._turns.is_waited_for and any(worker.is_nearly_done() for worker in self._workers)

    def ahead(self, errands: Sequence[Errand], *, timeout: float | None) -> list[Pending]:
        """Give a busy worker ``errands`` to do next, for later `run`s; an empty list where they are better kept.

        A worker that is at something with the same first job is the only candidate.
        """
        self._begin_in_fork()
        with self._lock:
            near = [worker for worker in self._workers if worker.has_begun(errands[0])]
            found = min(near or self._workers, key=Worker.length, default=None)
            if found is None or self._turns.is_waited_for or not all(map(found.has_room, errands)):
                return []
            return found.ask(errands, timeout)

    def kill(self) -> None:
        """Stop everything at once; whoever waits gets a StageError. For Ctrl-C: nothing is left half published."""
        self._turns.stop()
        for worker in list(self._workers):  # without the lock, which somebody may hold who writes to one that hangs
            worker.kill()

    def close(self) -> None:
        """Let idle workers go in peace. A busy one stops, and the thread that waits for it gets a StageError."""
        self._turns.stop()
        with self._lock:
            workers = list(self._workers)
            for worker in workers:
                worker.dismiss()
        for worker in workers:
            worker.join()

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
        if self._owner == os.getpid():
            return
        for worker in self._workers:
            worker.leave_to_parent()
        _INHERITED.extend(self._workers)
        self._begin()

    def _ask(self, errand: Errand, timeout: float | None) -> Pending:
        """An idle worker or a new one, as soon as there is a turn."""
        need = errand.memory()
        self._turns.enter(need)
        try:
            with self._lock:
                self._turns.refuse_if_stopped()
                if not self._idle:
                    self._idle.append(self._new(errand))
                (pending,) = self._idle[-1].ask([errand], timeout, need)
                self._idle.pop()
        except BaseException:
            self._turns.leave(need)
            raise
        return pending

    def _new(self, errand: Errand) -> Worker:
        process = Process(self._cache, self._store, sorted(stage.address for stage in errand.stages))
        worker = Worker(process, self._lock, on_idle=self._keep, on_death=self._bury)
        self._workers.append(worker)
        return worker

    def _keep(self, worker: Worker) -> None:
        self._idle.append(worker)
        self._turns.leave(worker.need)

    def _bury(self, worker: Worker) -> None:
        self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        else:
            self._turns.leave(worker.need)


def _failure_of(work: Callable[[], None]) -> Exception | None:
    """What ``work`` raises: for others, so it stops nobody who is at something."""
    try:
        work()
    except Exception as error:
        return error
    return None
