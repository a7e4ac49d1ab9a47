"""What a worker process of a pool does: one errand after the other, and not outlive whoever asked."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from modelbuild.stages.build import Build
from modelbuild.stages.channel import Channel, plain_error
from modelbuild.stages.diary import Diary
from modelbuild.stages.errand import errand_of
from modelbuild.stages.look import Looks
from modelbuild.stages.stage import stage_at

if TYPE_CHECKING:
    from collections.abc import Sequence

_OBJECTS = 50_000
"""Of a graph, nearly all are in use until the end of its stage: collecting earlier finds nothing."""

_MODELS_AT_ONCE = 2


def main(descriptor: int, diary: int, cache: str, store: str, stages: Sequence[str]) -> None:
    """Serve the socket ``descriptor`` until its other end is closed; leader of a process group of its own.

    ``diary`` is the descriptor of a `Diary` for what happens meanwhile, ``stages`` are addresses of what will be asked.
    """
    _volunteer_for_the_oom_killer()
    channel = Channel(socket.socket(fileno=descriptor))
    asked: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(channel, asked, busy), daemon=True).start()
    for address in stages:
        stage_at(address)
    gc.freeze()  # what was imported is in use for ever
    gc.set_threshold(_OBJECTS)
    build = Build.open(Path(cache), Path(store), listener=Diary(diary).write)
    looks = Looks(_MODELS_AT_ONCE)
    while (message := asked.get()) is not None:
        reply = _reply(build, looks, message)
        busy.clear()
        channel.send(reply)


def _reply(build: Build, looks: Looks, message: dict[str, Any]) -> dict[str, Any]:
    try:
        errand = errand_of(message)
        look = looks.at(errand.table[0])  # artifacts of a model begin with the same job
        return {"done": build.fulfil(errand, look=look).plain()}
    except Exception as error:  # whatever it is, the other side raises it
        return {"error": plain_error(error)}


def _listen(channel: Channel, asked: SimpleQueue[dict[str, Any] | None], busy: threading.Event) -> None:
    while (message := channel.receive()) is not None:
        busy.set()
        asked.put(message)
    if busy.is_set():  # nobody waits for the answer any more: stop at once, with all that was started here
        os.killpg(os.getpgrp(), signal.SIGKILL)
    asked.put(None)


def _volunteer_for_the_oom_killer() -> None:
    """If memory runs out, a failed job is better than a dead build."""
    score = Path("/proc/self/oom_score_adj")
    if os.access(score, os.W_OK):
        score.write_text("500")
