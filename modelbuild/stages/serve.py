"""What a worker process of a pool does: one errand after the other, and not outlive whoever asked."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from modelbuild.stages.build import Build
from modelbuild.stages.channel import Channel, plain_error
from modelbuild.stages.diary import Diary
from modelbuild.stages.errand import Errand, errands_of
from modelbuild.stages.look import Looks
from modelbuild.stages.stage import stage_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OBJECTS = 50_000
"""Of a graph, nearly all are in use until the end of its stage: collecting earlier finds nothing."""

_MODELS_AT_ONCE = 2


def main(descriptor: int, diary: int, cache: str, store: str, stages: Sequence[str]) -> None:
    """Serve the socket ``descriptor`` until its other end is closed; leader of a process group of its own.

    ``diary`` is the descriptor of a `Diary` for what happens meanwhile, ``stages`` are addresses of what will be asked.
    """
    _volunteer_for_the_oom_killer()
    channel = Channel(socket.socket(fileno=descriptor))
    inbox = Inbox(channel)
    threading.Thread(target=inbox.listen, daemon=True).start()
    for address in stages:
        stage_at(address)
    gc.freeze()  # what was imported is in use for ever
    gc.set_threshold(_OBJECTS)
    events = Diary(diary)
    build = Build.open(Path(cache), Path(store), listener=events.write)
    looks = Looks(_MODELS_AT_ONCE)
    for message in inbox:
        for reply in _replies(build, looks, message):
            events.end_page()
            inbox.is_done_with_one()
            channel.send(reply)


def _replies(build: Build, looks: Looks, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        errands = errands_of(message)
    except Exception as error:  # a stage that cannot be imported here
        yield from [{"error": plain_error(error), "seconds": 0.0}] * len(message["errands"])
        return
    for errand in errands:
        yield _reply(build, looks, errand)


def _reply(build: Build, looks: Looks, errand: Errand) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        look = looks.at(errand.first)  # artifacts of a model begin with the same job
        said: dict[str, Any] = {"done": build.fulfil(errand, look=look).plain()}
    except Exception as error:  # whatever it is, the other side raises it
        said = {"error": plain_error(error)}
    return {**said, "seconds": time.perf_counter() - started}


class Inbox:
    """What was asked and is not answered yet, heard by a thread of its own."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asked: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._heard = 0
        self._done = 0

    def listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            self._heard += len(message["errands"])
            self._asked.put(message)
        if self._done < self._heard:  # nobody waits for the answers any more: stop at once, with all that was started
            os.killpg(os.getpgrp(), signal.SIGKILL)
        self._asked.put(None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._asked.get, None)

    def is_done_with_one(self) -> None:
        self._done += 1


def _volunteer_for_the_oom_killer() -> None:
    """If memory runs out, a failed job is better than a dead build."""
    score = Path("/proc/self/oom_score_adj")
    if os.access(score, os.W_OK):
        score.write_text("500")
