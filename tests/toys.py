"""Small stages to exercise the machinery with; every run leaves a line in the file named by ``log``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from modelbuild.errors import UnsupportedModel
from modelbuild.stages import Event, FileInput, Inputs, Job, Listener, Outputs, Params, stage


def ran(params: Params, what: str) -> None:
    if params.get("log"):
        with Path(params["log"]).open("a") as file:
            file.write(f"{what}\n")


@stage("load", code=(), versions=("numpy",))
def load(inputs: Inputs, params: Params, out: Outputs) -> None:
    """The file without lines that start with #."""
    ran(params, "load")
    lines = inputs.path("model").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#"))
    out.write("graph.txt", text.encode())
    out.write("index.json", str(len(lines)).encode(), "log")
    out.hand_over("graph.txt", [text], list)


@stage("emit", code=("modelbuild.errors",), versions=())
def emit(inputs: Inputs, params: Params, out: Outputs) -> None:
    ran(params, "emit")
    graph = inputs.value("graph", "graph.txt", list, lambda path: [path.read_text()], to_change=True)
    graph[0] += params["device"]
    out.write("m.xml", graph[0].upper().encode())
    out.write("m.bin", bytes(params.get("size", 10)))


@stage("keep", code=(), versions=())
def keep(inputs: Inputs, params: Params, out: Outputs) -> None:
    """A result that speaks of a nameless blob."""
    blob = out.blob(b"weights")
    out.write("graph.txt", blob.sha256.encode())


@stage("speak", code=(), versions=())
def speak(inputs: Inputs, params: Params, out: Outputs) -> None:
    """The content of the blob that the graph speaks of."""
    sha256 = inputs.path("graph", "graph.txt").read_text()
    out.refer(inputs.known(sha256))
    out.write("content", inputs.blob(sha256).read_bytes())


@stage("nested", code=(), versions=())
def nested(inputs: Inputs, params: Params, out: Outputs) -> None:
    out.write("tensors/a", b"a")


@stage("adopt", code=(), versions=())
def adopt(inputs: Inputs, params: Params, out: Outputs) -> None:
    out.adopt("adopted", inputs.output("graph", "graph.txt"))


@stage("point", code=(), versions=())
def point(inputs: Inputs, params: Params, out: Outputs) -> None:
    """A result that does not tell how big the file aside is, and an object that does."""
    out.write("place", b"somewhere")
    out.hand_over("place", (inputs.path("model").stat().st_size,), lambda size: size)


@stage("follow", code=(), versions=())
def follow(inputs: Inputs, params: Params, out: Outputs) -> None:
    size = inputs.value("place", "place", tuple, lambda _: (inputs.path("model").stat().st_size,), to_change=False)
    out.write("size", str(size[0]).encode())


@stage("misbehave", code=(), versions=())
def misbehave(inputs: Inputs, params: Params, out: Outputs) -> None:
    ran(params, f"misbehave {os.getpid()}")
    match params["how"]:
        case "refuse":
            raise UnsupportedModel({"Foo": (2, "no translation, as in node bar")})
        case "break":
            raise ZeroDivisionError("a bug")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os.write(2, b"these are my last words")
            os._exit(3)
        case "hang":
            child = subprocess.Popen(["sleep", "60"])
            ran(params, f"child {child.pid}")
            child.wait()
        case "sleep":
            time.sleep(params["seconds"])
        case "await":
            while not Path(params["file"]).exists():
                time.sleep(0.01)
        case "grow":
            Path(params["file"]).write_text("other")
        case "stray":
            (out.path("a").parent / "b").write_text("b")
        case "fork":
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    out.write("done", b"done")


def artifact(model: Path, subject: str = "m@cpu:FP32", log: Path | None = None, **params: object) -> Job:
    """emit of load of ``model``."""
    logged = {"log": str(log)} if log is not None else {}
    loaded = Job(load, subject.partition("@")[0], logged, {"model": FileInput(model)})
    return Job(emit, subject, {"device": "cpu", **logged, **params}, {"graph": loaded})


def noting(events: list[Event]) -> Listener:
    """Notes all but who waited: where a disk is slow, taking a lock that is free is told as that too."""

    def hear(event: Event) -> None:
        if event.what != "waited":
            events.append(event)

    return hear


def trouble(how: str, subject: str = "m", **params: object) -> Job:
    return Job(misbehave, subject, {"how": how, **params})
