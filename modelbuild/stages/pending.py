"""An errand on its way: a worker has it, or will come to it."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from modelbuild.stages.channel import error_of
from modelbuild.stages.errand import Done, Errand, done_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelbuild.stages.event import Event, Listener


class NeverBegan(Exception):
    """The worker was gone before it came to the errand, which is not the errand's fault."""


class Reply(NamedTuple):
    """What a living worker replies; an error is the errand's, not the worker's."""

    message: dict[str, Any]

    def answer(self) -> Done:
        if "error" in self.message:
            raise error_of(self.message["error"])
        return done_of(self.message["done"])


End: TypeAlias = Reply | Exception


class Pending:
    """What is heard of an errand waits here for whoever asked, who hears it in a thread of their own."""

    def __init__(self, errand: Errand, timeout: float | None, stop: Callable[[], None]) -> None:
        """``timeout`` in seconds, for each stage that runs. ``stop`` ends it, and what else its worker has to do."""
        self.errand = errand
        self.timeout = timeout
        self.stop = stop
        self.is_over = False
        self._news: SimpleQueue[tuple[Sequence[Event], End | None]] = SimpleQueue()

    def tell(self, events: Sequence[Event], end: End | None = None) -> None:
        """For whoever watches the worker."""
        self.is_over = end is not None
        self._news.put((events, end))

    def wait(self, listener: Listener) -> Done:
        """Once. Raises what the stages raised; NeverBegan; StageError when the worker died or was killed over it."""
        while True:
            events, end = self._news.get()
            for event in events:
                listener(event)
            if isinstance(end, Reply):
                return end.answer()
            if end is not None:
                raise end
