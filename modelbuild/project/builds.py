"""Where jobs are answered: in this process, or in those of a pool; and what is told of it."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import amounts
from modelbuild.project.runs import Runs
from modelbuild.stages import Build, Event
from modelbuild.stages.history import History
from modelbuild.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.memo import Memo
    from modelbuild.stages import Errand, Listener
    from modelbuild.stages.key import Code
    from modelbuild.stages.pool import Pool

STORE_VARIABLE = "MODELBUILD_STORE"
MEMORY_VARIABLE = "MODELBUILD_MEMORY"
TIMEOUT_VARIABLE = "MODELBUILD_TIMEOUT"

NO_LIMIT = 64
"""More workers than anybody has use for."""


class Builds:
    """The two builds of a checkout, ``here`` and in a pool, which share store, memo and history.

    The main thread builds here. Other threads leave the work to processes, at most ``workers`` at once; and so does
    everybody where there is a ``timeout``, because only another process can be stopped.
    """

    def __init__(
        self,
        cache: Path,
        memo: Memo,
        code: Code,
        listener: Listener,
        *,
        workers: int,
        memory: int | None,
        timeout: float | None,
    ) -> None:
        """``memory`` in bytes for all workers together, ``timeout`` in seconds for what a worker is asked for."""
        self.timeout = timeout or amounts.seconds(os.environ.get(TIMEOUT_VARIABLE) or "0") or None
        self._memory = memory or amounts.octets(os.environ.get(MEMORY_VARIABLE) or str(_all_memory()))
        self._workers = workers
        self._cache = cache
        self._memo = memo
        self._code = code
        self._listener = listener
        self._runs = Runs(cache / "runs")
        self._heard = threading.local()
        self._pool: Pool | None = None
        self._in_pool: Build | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Stop what still runs."""
        if self._pool is not None:
            self._pool.close()

    def tidy(self) -> None:
        self._runs.forget_oldest()

    @cached_property
    def store(self) -> LocalStore:
        """In ``cache/``, unless the environment names one that several checkouts share."""
        return LocalStore(Path(os.environ.get(STORE_VARIABLE) or self._cache / "store"))

    @cached_property
    def here(self) -> Build:
        return Build(self.store, self._memo, self._history, listener=self.hear)

    def for_this_thread(self, errand: Errand) -> Build:
        """The build that this thread asks to do ``errand`` and others like it."""
        if threading.current_thread() is threading.main_thread() and self.timeout is None:
            return self.here
        from modelbuild.stages.pool import Pool

        with self._opening:
            if self._pool is None:
                self._pool = Pool(self._workers, self._cache, self.store.root, memory=self._memory)
        if self._in_pool is None:
            self._pool.prepare(errand)
        with self._opening:
            if self._in_pool is None:
                for module in {module for stage in errand.stages for module in stage.code}:
                    self._code.of_module(module)
                self._memo.keep()  # the workers find the digests of our code there, which take a second
                self._in_pool = Build(self.store, self._memo, self._history, listener=self.hear, pool=self._pool)
            return self._in_pool

    def has_room(self) -> bool:
        """Whether a worker may take something that nobody asks for yet."""
        return self._pool is not None and self._pool.has_room()

    @contextmanager
    def hearing(self) -> Iterator[list[Event]]:
        """The events of this thread, which are those of what it asks for. They are also noted for later."""
        self._heard.events, self._heard.lines = [], []
        try:
            yield self._heard.events
        finally:
            self._runs.note(self._heard.lines)
            del self._heard.events, self._heard.lines

    def hear(self, event: Event) -> None:
        heard: list[Event] | None = getattr(self._heard, "events", None)
        if heard is not None:  # else somebody only looks
            heard.append(event)
            self._heard.lines.append(self._runs.line(event))
            if event.what == "run":  # what has happened is noted along with what begins: most of it takes no time
                self._runs.note(self._heard.lines)
                self._heard.lines.clear()
            self._listener(event)

    @cached_property
    def _history(self) -> History:
        return History(self._cache / "history")


def _all_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
