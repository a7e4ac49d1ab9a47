"""Builds of a checkout that are killed, raced and watched."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sites import Site

from modelbuild.store import LocalStore
from modelbuild.store.audit import audit

PATIENCE = 120.0


class Ended(NamedTuple):
    code: int
    said: str


class Running:
    """A build at work. Killing it kills the scheduler alone, as the kernel would."""

    def __init__(self, site: Site, *command: str, **environment: str) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.process = site.start(*command, output=self._output, **environment)

    def kill(self) -> None:
        self.process.kill()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        code = self.process.wait(seconds)
        self._output.seek(0)
        said = self._output.read().decode(errors="replace")
        self._output.close()
        return Ended(code, said)

    def workers(self) -> list[int]:
        """The processes of its pool."""
        return [pid for pid in _children(self.process.pid) if "modelbuild.stages.serve" in _command(pid)]


@contextmanager
def running(site: Site, *command: str, **environment: str) -> Iterator[Running]:
    build = Running(site, *command, **environment)
    try:
        yield build
    finally:
        if not build.ended:
            build.kill()
            build.end()


def add_large(site: Site, name: str, megabytes: int) -> None:
    """Add a model of one product with weights of this size."""
    rows = megabytes << 8
    weights = np.random.default_rng(0).standard_normal((rows, 1024), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1024])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, site.root / "src" / f"{name}.onnx")
    site.models[name] = {"source": {"path": f"src/{name}.onnx"}}
    site.write()


def events(root: Path) -> Iterator[dict[str, Any]]:
    """What all builds of a checkout recorded; lines that a kill cut short are passed over."""
    for path in sorted((root / "cache" / "runs").glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def times(root: Path, what: str) -> Counter[tuple[str, str]]:
    """How often each key had this happen to it; by stage and key."""
    return Counter((event["stage"], event["key"]) for event in events(root) if event["what"] == what)


def artifacts(site: Site) -> dict[str, bytes]:
    """What is delivered, less the report, which tells how long things took. Hidden files are leftovers, and count."""
    found = site.contents("build")
    return {name: data for name, data in found.items() if name.count("/") > 1 or "/." in name}


def findings(root: Path) -> list[str]:
    return [str(finding) for finding in audit(LocalStore(root / "cache" / "store"))]


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # of each thread: those of the pool start workers
    return [int(child) for listed in lists for child in _seen(listed).split()]


def _command(pid: int) -> str:
    return _seen(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace")


def _seen(path: Path) -> bytes:
    """What the kernel tells of a process or a thread; nothing if that is gone by now, found or even opened before."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
