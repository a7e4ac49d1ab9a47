"""The process of a worker, seen from where it was started. Leader of a group, which holds whatever it starts."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.stages.channel import Channel
from modelbuild.stages.diary import Diary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BOOT = """
import os, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin, and take time from the other workers
sys.path[:] = {path!r}
from modelbuild.stages.serve import main
main({descriptor}, {diary}, {cache!r}, {store!r}, {stages!r})
"""
_LAST_WORDS = 2_000
_GOODBYE = 2.0


class Sign(NamedTuple):
    """What can be seen of a process: a ``message`` from it, or that none will come."""

    message: dict[str, Any] | None
    is_gone: bool


class Process:
    """Started at once; it imports what it needs while nothing is asked of it. `close` it in the end."""

    def __init__(self, cache: Path, store: Path, stages: Sequence[str]) -> None:
        """``stages`` are the addresses of those that it imports before it is asked for anything."""
        with ExitStack() as opened:
            ours, theirs = map(opened.enter_context, socket.socketpair())
            self.diary = Diary.new()
            opened.callback(self.diary.close)
            self._printed = opened.enter_context(tempfile.TemporaryFile())  # shown if it dies
            self._process = self._started(theirs, cache, store, stages)
            opened.pop_all()
        theirs.close()
        self._channel = Channel(ours)
        # A library's forked helper may hold the socket open after the worker's death: the process itself is watched.
        self._life = os.pidfd_open(self._process.pid)
        self._signs = select.poll()
        for descriptor in (self._channel.fileno(), self._life):
            self._signs.register(descriptor, select.POLLIN)
        self._ending = threading.Lock()

    def _started(self, end: socket.socket, cache: Path, store: Path, stages: Sequence[str]) -> subprocess.Popen[bytes]:
        shared = {"descriptor": end.fileno(), "diary": self.diary.fileno()}
        boot = _BOOT.format(path=sys.path, cache=str(cache), store=str(store), stages=stages, **shared)
        try:
            return subprocess.Popen(
                [sys.executable, "-c", boot],
                pass_fds=shared.values(),
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentTrouble(
                f"{sys.executable}: cannot be started for a worker: {error.strerror}; free memory and processes, "
                "or build with fewer at once (-n)"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Raises ConnectionError when it is gone."""
        self._channel.send(message)

    def sign(self, seconds: float) -> Sign:
        """The next one, waited for that long."""
        seen = {descriptor for descriptor, _ in self._signs.poll(seconds * 1000)}
        message = self._channel.receive() if self._channel.fileno() in seen else None
        return Sign(message, bool(seen) and message is None)

    def obituary(self, what: str, how: str | None = None) -> StageError:
        """An error that quotes what the process printed last."""
        error = StageError(f"{what}: {how or self.end()}")
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, size - _LAST_WORDS))
        words = self._printed.read().decode(errors="replace").strip()
        if words:
            error.add_note(f"its last words:\n{words}")
        return error

    def end(self) -> str:
        """How the process ended, now that it is dead or dying; what it has started ends too."""
        with self._ending:
            if self._process.returncode is None:
                self._wait(None)
                os.killpg(self._process.pid, signal.SIGKILL)  # its children: a dead leader keeps its exit code
                self._process.wait()
        code = self._process.returncode
        if code >= 0:
            return f"its worker ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"its worker was killed by {name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"

    def kill(self) -> None:
        """Kill it and everything in its group."""
        with self._ending:
            if self._process.returncode is None:  # not reaped, so the number is still its own
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def hang_up(self) -> None:
        """Have it end if it is idle, and kill itself if it is busy. Whoever watches it sees that at once."""
        self._channel.hang_up()

    def close(self) -> None:
        """Wait for the end, for a while, and give back what it holds here. Once, by the last who uses it."""
        self._channel.hang_up()
        self._wait(_GOODBYE)
        self.kill()
        self._channel.close()
        self.diary.close()
        os.close(self._life)
        self._printed.close()

    def leave_to_parent(self) -> None:
        """In a fork: close our copy of the channel, which would hide the parent's death from the worker."""
        self._channel.close()

    def _wait(self, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
