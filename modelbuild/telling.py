"""What a person is told of a build: a line for what is done, a moving one for what is being done, a table at the end.

Nobody who only looks at what is there needs this; ``rich`` is imported when a stage runs at a terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from modelbuild.errors import BuildError
from modelbuild.report import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelbuild.project import Made
    from modelbuild.stages import Event


def failure(error: BaseException) -> str:
    """An error as a person should see it: one line and what is known of the place. ``MODELBUILD_TRACEBACK=1``: all."""
    if not isinstance(error, BuildError) or os.environ.get("MODELBUILD_TRACEBACK") == "1":
        return "".join(traceback.format_exception(error)).rstrip()
    return "\n".join([str(error), *(f"  {line}" for note in error.notes for line in note.splitlines())])


class Row(NamedTuple):
    """What was done for an artifact, as plain data; no ``stages`` ran if all was in the store."""

    name: str
    stages: str
    why: str
    seconds: float
    size: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, made: Made) -> Row:
        stages = " ".join(event.stage for event in made.ran)
        return cls(str(made.variant), stages, made.why, made.seconds, made.size, made.notes)

    def __str__(self) -> str:
        if not self.stages:
            return f"hit     {self.name}  {figures.size(self.size)}  nothing had to run"
        measured = f"{figures.size(self.size)}  {figures.seconds(self.seconds)}"
        notes = "".join(f"\n        {note}" for note in self.notes)
        return f"made    {self.name}  {measured}  {self.stages}: {self.why}{notes}"


class Screen:
    """Where lines go. At a terminal, outside CI, the last line tells what runs at the moment.

    Safe to use from several threads.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.RLock()
        self._running: dict[tuple[str, str], None] = {}
        self._moving: Any = None
        self._is_live = self._stream.isatty() and "CI" not in os.environ
        self._owner = os.getpid()

    def line(self, text: str) -> None:
        with self._lock:
            if self._moving is not None:
                self._moving.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)

    def hear(self, event: Event) -> None:
        """A `Listener`."""
        with self._lock:
            if event.what == "run":
                self._running[event.stage, event.subject] = None
            elif event.what in {"made", "failed"}:
                self._running.pop((event.stage, event.subject), None)
            elif event.what == "damaged":
                self.line(f"damaged {event.why}")
            elif event.what == "waited":
                self.line(
                    f"waited  {event.subject}  {figures.seconds(event.seconds)} for another process at {event.stage}"
                )
            self._move()

    def fetching(self, what: str, done: int, total: int | None) -> None:
        """A `Progress`."""
        with self._lock:
            self._running.clear()
            if total is None or done < total:
                so_far = f" {figures.size(done)}" if done or total else ""
                of_all = f" of {figures.size(total)}" if total else ""
                self._running["fetch", f"{what}{so_far}{of_all}"] = None
            self._move()

    def close(self) -> None:
        with self._lock:
            self._running.clear()
            self._move()

    def _move(self) -> None:
        """Have the last line say what runs; none if nothing does."""
        is_fork = os.getpid() != self._owner  # those of `doit -P process` would write over each other
        if not self._is_live or is_fork:
            return
        if not self._running:
            if self._moving is not None:
                self._moving.stop()
                self._moving = None
            return
        text = ", ".join(f"{stage} {subject}" for stage, subject in self._running)
        if self._moving is None:
            from rich.console import Console
            from rich.status import Status

            self._moving = Status(text, console=Console(file=self._stream))
            self._moving.start()
        else:
            self._moving.update(text)


def table(rows: Sequence[Row], current: int, failed: Sequence[str]) -> str:
    """The end of a run in which something happened: what was made and why, and how the rest went."""
    made = [row for row in rows if row.stages]
    width = max((len(row.name) for row in made), default=0)
    lines = [f"{'made':{width}}  {'time':>8}  {'size':>9}  why"] if made else []
    lines += [
        f"{row.name:{width}}  {figures.seconds(row.seconds):>8}  {figures.size(row.size):>9}  {row.why}" for row in made
    ]
    lines.append(tally(len(made), len(rows) - len(made), current, len(failed)))
    lines += [f"failed: {name}" for name in failed]
    return "\n".join(lines)


def tally(made: int, hits: int, current: int, failed: int) -> str:
    """``2 made, 7 up to date``"""
    counts = {"made": made, "from the store": hits, "up to date": current, "failed": failed}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing to do"
