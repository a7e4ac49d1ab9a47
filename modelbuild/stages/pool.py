"""Worker processes of our own, and who may run when.

A worker is started when there is a job and none is idle, lives as long as the pool and leads a process group of its
own, so that killing it kills whatever it has started. It ends when the pool does, even if that is killed. One that dies
fails its job and nothing else.

Behind what it is at, a worker takes small errands that nobody waits for yet: it need not idle while whoever asks notes
what came of the last one. What was taken that way is done by the one who took it, in order.

A pool belongs to the process that uses it: in a fork it starts afresh, with no workers. Threads may share it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from modelbuild.stages.errand import Done, Errand, plain_of
from modelbuild.stages.event import Event, Listener
from modelbuild.stages.pending import NeverBegan, Pending, Reply
from modelbuild.stages.process import Process
from modelbuild.stages.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

_INHERITED: list[Worker] = []
"""Workers of the process that this one is a fork of. Kept, because collecting them would look for their processes."""

_GLANCE = 0.1
"""Seconds between two looks at what a worker does."""

_AHEAD = 0.1
"""Seconds of work that a worker has before it, at most: another may be idle by then."""
_MOST_AHEAD = 8
"""Errands before a worker, however quick it is: what is begun may be for nothing if the build stops."""
_SMALL = 4 << 20
"""Bytes of the files of an errand that may wait behind another."""
_OLD_NEWS = 1 << 20
"""Bytes of a diary that is begun anew, for which its worker has to be idle once."""


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

        Raises what a stage raised; StageError when the worker dies, takes too long, or the pool is killed.
        """
        self._begin_in_fork()
        with self._turns.attend():
            pending = begun or self._ask(errand, timeout)
            while True:
                try:
                    if meanwhile is not None:
                        meanwhile()
                    return pending.wait(listener)
                except NeverBegan:
                    pending = self._ask(errand, timeout)
                except BaseException:
                    if not pending.is_over:  # Ctrl-C, or whoever listens cannot any more
                        pending.stop()
                    self._turns.refuse_if_stopped()
                    raise

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
        """Have a busy worker fulfil ``errands`` next, for `run`s to come; none if they better wait for that.

        Of one that is at something with the same beginnings, that has to be the one.
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


class Worker:
    """A process, what it was asked for, and a thread that watches it. All who ask hold ``lock``."""

    def __init__(
        self,
        process: Process,
        lock: threading.Lock,
        *,
        on_idle: Callable[[Worker], None],
        on_death: Callable[[Worker], None],
    ) -> None:
        """Both are called with ``lock`` held."""
        self.need = 0
        self._process = process
        self._changed = threading.Condition(lock)
        self._on_idle = on_idle
        self._on_death = on_death
        self._asked: deque[Pending] = deque()
        self._pace = math.inf
        self._is_new = True
        self._is_dismissed = False
        self._watch = threading.Thread(target=self._serve, name=f"worker {process.pid}", daemon=True)
        self._watch.start()

    # ---- whoever asks ----

    def ask(self, errands: Sequence[Errand], timeout: float | None, need: int | None = None) -> list[Pending]:
        """``need`` in bytes is what it has while it is busy."""
        if not self._asked:
            self._process.diary.begin()
        with suppress(ConnectionError):  # the watch sees that it is gone
            self._process.send(plain_of(errands))
        if need is not None:
            self.need = need
        pending = [Pending(errand, timeout, self.kill) for errand in errands]
        self._asked.extend(pending)
        self._changed.notify_all()
        return pending

    def has_begun(self, errand: Errand) -> bool:
        """Whether it has, or will have, the first of what ``errand`` asks for at hand."""
        return any(pending.errand.first == errand.first for pending in self._asked)

    def length(self) -> int:
        return len(self._asked)

    def is_nearly_done(self) -> bool:
        """Whether it is busy, and soon will not be any more."""
        count = len(self._asked)
        return 0 < count < _MOST_AHEAD and count * self._pace < _AHEAD and self._process.diary.size < _OLD_NEWS

    def has_room(self, errand: Errand) -> bool:
        """Whether it may wait behind what the worker is at, and take no more memory than that."""
        return self.is_nearly_done() and errand.size <= _SMALL and errand.memory() <= self.need

    def kill(self) -> None:
        self._process.kill()

    def dismiss(self) -> None:
        self._is_dismissed = True
        self._process.hang_up()
        self._changed.notify_all()

    def join(self) -> None:
        """Wait until all is given back."""
        self._watch.join()

    def leave_to_parent(self) -> None:
        self._process.leave_to_parent()

    # ---- its watch ----

    def _serve(self) -> None:
        try:
            while (pending := self._next()) is not None and self._follow(pending):
                pass
        finally:
            self._process.close()

    def _next(self) -> Pending | None:
        with self._changed:
            while not self._asked:
                if self._is_dismissed:
                    self._on_death(self)
                    return None
                self._changed.wait()
            return self._asked[0]

    def _follow(self, pending: Pending) -> bool:
        """Until its end, which is told to whoever asked. Whether the worker lives on."""
        diary = self._process.diary
        glance = _GLANCE if pending.timeout is None else min(_GLANCE, pending.timeout)
        at: Event | None = None
        deadline = math.inf
        while True:
            message, is_gone = self._process.sign(glance)
            events = diary.news()
            for event in events:
                if event.what == "run":
                    at = event
                    deadline = time.monotonic() + (pending.timeout or math.inf)
            if message is not None:
                diary.turn_page()
                self._pace = message["seconds"]
                self._replied(pending, events, Reply(message))
                return True
            if is_gone:
                self._lost(pending, events, at, None)
                return False
            if time.monotonic() > deadline:
                self.kill()
                self._lost(pending, events, at, f"took longer than {pending.timeout:g} s and was stopped")
                return False
            if events:
                pending.tell(events)

    def _replied(self, pending: Pending, events: list[Event], reply: Reply) -> None:
        self._is_new = False
        with self._changed:
            self._asked.popleft()
            if not self._asked:
                self._on_idle(self)
        pending.tell(events, reply)

    def _lost(self, pending: Pending, events: list[Event], at: Event | None, how: str | None) -> None:
        error: Exception = NeverBegan()
        if at is not None:
            how = how or self._process.end()
            events.append(Event("failed", at.stage, at.subject, how, at.key))
            error = self._process.obituary(f"{at.stage} of {at.subject}", how)
        elif self._is_new:
            error = self._process.obituary(f"{pending.errand.jobs[0]}: no worker can be started")
        with self._changed:
            self._on_death(self)
            behind = [waiting for waiting in self._asked if waiting is not pending]
            self._asked.clear()
        pending.tell(events, error)
        for waiting in behind:
            waiting.tell((), NeverBegan())
