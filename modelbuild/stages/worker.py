"""A worker, seen from where it was started: its process, what it was asked for, and what is heard of that."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from modelbuild.stages.errand import plain_of
from modelbuild.stages.event import Event
from modelbuild.stages.pending import NeverBegan, Pending, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelbuild.stages.errand import Errand
    from modelbuild.stages.process import Process

_GLANCE = 0.1
"""Seconds between two looks at what a worker does."""

_AHEAD = 0.1
"""Seconds of work that a worker has before it, at most: another may be idle by then."""
_MOST_AHEAD = 8
"""Errands before a worker, however quick it is: what is begun may be for nothing if the build stops."""
_SMALL = 4 << 20
"""Bytes of the files of an errand that may wait behind another."""
_OLD_NEWS = 1 << 20
"""Bytes of a diary above which its worker is given nothing ahead: it has to be idle for the diary to be begun anew."""


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
        has_begun = False
        while True:
            message, is_gone = self._process.sign(glance)
            events = diary.news()
            for event in events:
                has_begun = True
                if event.what == "run":
                    at, deadline = event, time.monotonic() + (pending.timeout or math.inf)
                elif at is not None and event.key == at.key:  # what comes now may have to wait for others
                    at, deadline = None, math.inf
            if message is not None:
                diary.turn_page()
                self._pace = message["seconds"]
                self._replied(pending, events, Reply(message))
                return True
            if is_gone:
                self._lost(pending, events, at, has_begun=has_begun)
                return False
            if time.monotonic() > deadline:
                self.kill()
                late = f"took longer than {pending.timeout:g} s and was stopped"
                self._lost(pending, events, at, late, has_begun=has_begun)
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

    def _lost(
        self, pending: Pending, events: list[Event], at: Event | None, how: str | None = None, *, has_begun: bool
    ) -> None:
        error: Exception = NeverBegan()
        if at is not None:
            how = how or self._process.end()
            events.append(Event("failed", at.stage, at.subject, how, at.key))
            error = self._process.obituary(f"{at.stage} of {at.subject}", how)
        elif has_begun:
            error = self._process.obituary(str(pending.errand))
        elif self._is_new:
            error = self._process.obituary(f"{pending.errand}: no worker can be started")
        with self._changed:
            self._on_death(self)
            behind = [waiting for waiting in self._asked if waiting is not pending]
            self._asked.clear()
        pending.tell(events, error)
        for waiting in behind:
            waiting.tell((), NeverBegan())
