"""Small checkouts with models made on the spot, for tests of the engine as people use it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelbuild import digest
from modelbuild.manifest import Variant
from modelbuild.memo import Memo
from modelbuild.project import Checkout

REPOSITORY = Path(__file__).parent.parent
DODO = '''\
from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source


def task_mine():
    """a task of the user's own"""
    return {"actions": ["echo mine"], "uptodate": [False]}
'''


def write_model(path: Path, *, scale: float = 2.0, op: str = "Relu", external: str | None = None) -> None:
    """``op(x @ w + b)`` of a [?,8] input."""
    weights = np.arange(32, dtype=np.float32).reshape(8, 4) / 32 * np.float32(scale)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
            helper.make_node("Add", ["m", "b"], ["s"], name="sum"),
            helper.make_node(op, ["s"], ["y"], name="last"),
        ],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.ones(4, np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if external is None:
        onnx.save(model, path)
    else:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)


class Site:
    """A folder with a manifest of two models, ``one`` and ``two``, for the CPU in two precisions."""

    def __init__(self, root: Path, memo: Path | None = None) -> None:
        """``memo`` knows the digests of our own code already, which take a second to find out."""
        self.root = root
        root.mkdir(parents=True)
        if memo is not None:
            (root / "cache").mkdir()
            shutil.copy(memo, root / "cache" / "memo")
        self.models: dict[str, dict[str, Any]] = {}
        for name, scale in (("one", 1.0), ("two", 2.0)):
            self.add(name, scale=scale)
        (root / "dodo.py").write_text(DODO)

    def add(self, name: str, **options: Any) -> None:
        write_model(self.root / "src" / f"{name}.onnx", **options)
        self.models[name] = {"source": {"path": f"src/{name}.onnx"}}
        self.write()

    def write(self) -> None:
        """The manifest as ``models`` say it; JSON is YAML too."""
        said = {"version": 1, "defaults": {"targets": ["cpu"], "precisions": ["FP32", "FP16"]}, "models": self.models}
        (self.root / "models.yaml").write_text(json.dumps(said))

    @property
    def manifest(self) -> Path:
        return self.root / "models.yaml"

    def folder(self, model: str = "one", precision: str = "FP32") -> Path:
        return self.root / "build" / model / "cpu" / precision

    def files(self) -> dict[str, tuple[int, int, int]]:
        """Every file and folder with what tells whether it was touched."""
        gc.collect()  # a store of this process takes its drafts away when it is collected
        found = sorted(self.root.rglob("*"))
        return {
            str(path.relative_to(self.root)): (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
            for path, stat in ((path, path.lstat()) for path in found)
            if "__pycache__" not in path.parts
        }

    def contents(self, folder: str) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        }

    def ran(self) -> list[str]:
        """The stages that ran, by what was recorded since the last call."""
        return [f"{event['stage']} {event['subject']}" for event in self.events() if event["what"] == "made"]

    def events(self) -> Iterator[dict[str, Any]]:
        runs = sorted((self.root / "cache" / "runs").glob("*.jsonl"))
        lines = [line for path in runs for line in path.read_text().splitlines()]
        for path in runs:
            path.unlink()
        return map(json.loads, lines)

    def run(self, *command: str, prove: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a module of Python here; without the runtimes unless ``prove``, because loading them takes a second."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=self._environment(prove, environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *command: str, output: IO[bytes], **environment: str) -> subprocess.Popen[bytes]:
        """As `run`, without the runtimes, and without waiting; all that it says goes to ``output``."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=self._environment(False, environment),
            stdout=output,
            stderr=output,
        )

    def _environment(self, prove: bool, more: Mapping[str, str]) -> dict[str, str]:
        hidden = self.root.parent / "hidden"
        if not prove and not hidden.exists():  # written once: a process that starts meanwhile would find it empty
            hidden.mkdir()
            (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['openvino'] = None\n")
        path = [str(REPOSITORY), *([] if prove else [str(hidden)])]
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**inherited, "PYTHONPATH": os.pathsep.join(path), **more}

    def doit(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("doit", *arguments, **options)


def question_of(checkout: Checkout, variant: Variant) -> bytes:
    """All that an artifact depends on."""
    return checkout._commissions.question(variant, checkout.sources.all_here(checkout.model(variant)))


def learn_code(path: Path) -> Path:
    """A memo of the digests of all our code."""
    memo = Memo(path)
    for module in sorted((REPOSITORY / "modelbuild").rglob("*.py")):
        memo.of(module, digest.of_source)
    return path
