"""What a worker process of a pool does: answer one job after the other, and not outlive whoever asked."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from modelbuild.stages.build import Build
from modelbuild.stages.channel import Channel, plain_error
from modelbuild.stages.event import Event
from modelbuild.stages.job import job_of


def main(descriptor: int, cache: str, store: str) -> None:
    """Serve the socket ``descriptor`` until its other end is closed; leader of a process group of its own."""
    _volunteer_for_the_oom_killer()
    channel = Channel(socket.socket(fileno=descriptor))
    asked: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(channel, asked, busy), daemon=True).start()

    def tell(event: Event) -> None:
        channel.send({"event": event.plain()})

    build = Build.open(Path(cache), Path(store), listener=tell)
    while (message := asked.get()) is not None:
        channel.send({"began": True})
        reply = _reply(build, message)
        busy.clear()
        channel.send(reply)


def _reply(build: Build, message: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = build.ensure(job_of(message["job"]))
    except Exception as error:  # whatever it is, the other side raises it
        return {"error": plain_error(error)}
    return {"key": answer.key.digest, "why": answer.why.plain() if answer.why is not None else None}


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
