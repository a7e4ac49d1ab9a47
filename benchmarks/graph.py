"""The build graph at a thousand models: 1,000 x 2 devices x 2 precisions, small real conversions made here.

usage: python benchmarks/graph.py [--models 1000] [--runs 3] [--large 500] [--model FILE]... [--folder FOLDER]

Writes a table: what `doit` takes, whole process, beside what is asked, and beside bare doit with as many trivial tasks.
Where something had to run, the stages that ran are counted from what the build has recorded. The runtimes are hidden:
what is measured is the build, not the proof of its answers. Nothing is deleted before the end, but moved out of the
way, and what replaces thousands of files comes last: for half a minute after files were deleted ext4 takes ten times as
long to make new ones, and no build can help it.
`--model` names large models of one's own, whose files of weights begin with the same name; each is made in one
precision. Seven minutes on two processors.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = Path(__file__).parent.parent / "modelbuild"
ARTIFACTS_PER_MODEL = 4
_LAST_LINES = 20
_SPAWNING = threading.Lock()
DODO = "from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source  # noqa: F401\n"
BARE = """
from doit.tools import run_once

def nothing():
    return None

def task_trivial():
    for number in range({tasks}):
        yield {{"name": str(number), "actions": [nothing], "uptodate": [run_once]}}
"""


class Cost(NamedTuple):
    seconds: float
    megabytes: float


class Site:
    """A checkout of ``models`` small models for two targets in two precisions."""

    def __init__(
        self,
        root: Path,
        models: int,
        targets: Sequence[str] = ("cpu", "edge"),
        precisions: Sequence[str] = ("FP32", "FP16"),
    ) -> None:
        self.root = root
        self._lost = root.with_name(f"lost-{root.name}")
        self._defaults = {"targets": list(targets), "precisions": list(precisions)}
        (root / "src").mkdir(parents=True)
        (root / "dodo.py").write_text(DODO)
        hidden = root / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['openvino'] = None\n")
        package = root.parent / "package"
        if not package.exists():  # a copy: whoever edits the code meanwhile would change what is measured
            shutil.copytree(PACKAGE, package / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
            compileall.compile_dir(package, quiet=1)
        self._environment = {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{hidden}"}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._ids = [f"m{number:04}" for number in range(models)]
        for number, name in enumerate(self._ids):
            self.change(name, number)
        self.write(static_shapes=False)

    def change(self, name: str, seed: int) -> None:
        _small_model(self.root / "src" / f"{name}.onnx", seed)

    def write(self, *, static_shapes: bool) -> None:
        said = {
            "version": 1,
            "defaults": self._defaults,
            "targets": {"edge": {"device": "GPU", "static_shapes": static_shapes, "precisions": ["FP32", "FP16"]}},
            "models": {name: {"source": {"path": f"src/{name}.onnx"}} for name in self._ids},
        }
        (self.root / "models.yaml").write_text(json.dumps(said))

    def doit(self, *arguments: str) -> Cost:
        return _run([sys.executable, "-m", "doit", *arguments], self.root, self._environment)

    def modelbuild(self, *arguments: str) -> Cost:
        return _run([sys.executable, "-m", "modelbuild", *arguments], self.root, self._environment)

    def events(self) -> list[dict[str, str | float]]:
        """What was recorded since the last call."""
        runs = sorted((self.root / "cache" / "runs").glob("*.jsonl"))
        found = [json.loads(line) for path in runs for line in path.read_text().splitlines()]
        for path in runs:
            path.unlink()
        return found

    def ran(self, builds: int = 1) -> str:
        """What each of ``builds`` that did the same ran."""
        counts = Counter(event["stage"] for event in self.events() if event["what"] == "made")
        return ", ".join(f"{stage} x{count / builds:g}" for stage, count in counts.items()) or "no stage"

    def lose_build(self) -> None:
        self._lose("build")

    def lose_all_but_the_store(self) -> None:
        self.lose_build()
        lost = self._lose("cache")
        (self.root / "cache").mkdir()
        (lost / "store").rename(self.root / "cache" / "store")

    def _lose(self, name: str) -> Path:
        """Move it out of the way; says where it is."""
        self._lost.mkdir(exist_ok=True)
        return (self.root / name).rename(self._lost / f"{len(list(self._lost.iterdir()))}-{name}")


def _small_model(path: Path, seed: int) -> None:
    """Two layers of a perceptron, other weights for every ``seed``."""
    random = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape, np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["l"]),
            helper.make_node("Softmax", ["l"], ["y"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [weights("w1", 32, 16), weights("b1", 16), weights("w2", 16, 8), weights("b2", 8)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _large_model(path: Path, megabytes: int) -> None:
    """Products with square matrices of 16 MB each."""
    random = np.random.default_rng(0)
    count = max(1, megabytes // 16)
    nodes = [helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]) for n in range(count)]
    shape = [1, 2048]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{count}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(random.standard_normal((2048, 2048), np.float32), f"w{n}") for n in range(count)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Seconds and peak resident megabytes of one process (or of the biggest of its children)."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        with _SPAWNING:
            here = Path.cwd()
            os.chdir(folder)
            pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
            os.chdir(here)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        if status:
            output.seek(0)
            last = output.read().decode().splitlines()[-_LAST_LINES:]
            raise SystemExit("\n".join([f"{' '.join(command)} failed", *last]))
    return Cost(seconds, usage.ru_maxrss / 1024)


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.seconds for cost in costs), max(cost.megabytes for cost in costs))


def _median(measure: Callable[[], Cost], runs: int) -> Cost:
    return _middle([measure() for _ in range(runs)])


def _bare(root: Path, tasks: int, *arguments: str) -> Callable[[], Cost]:
    """doit with as many tasks that do nothing; what it takes differs between the first run and later ones."""
    root.mkdir()
    (root / "dodo.py").write_text(BARE.format(tasks=tasks))
    return partial(_run, [sys.executable, "-m", "doit", *arguments], root, dict(os.environ))


class Row(NamedTuple):
    what: str
    asked: str
    measured: str


def rows(root: Path, models: int, runs: int) -> Iterator[Row]:
    artifacts = models * ARTIFACTS_PER_MODEL
    tasks = artifacts + 2 * models + 3
    run_bare = _bare(root / "bare", tasks)
    bare_first, bare = run_bare(), _median(run_bare, runs)
    in_threads = _bare(root / "bare-threads", tasks, "-n", "2", "-P", "thread")()
    said = f"first {bare_first.seconds:.2f} s, {in_threads.seconds:.2f} s with two threads; then {bare.seconds:.2f} s"
    yield Row(f"bare doit, {tasks:,} trivial tasks", "", said)

    pairs: list[tuple[Cost, Cost]] = []  # in turn: a machine that others use too has slow and quick minutes
    for number in range(runs):
        serial, site = (Site(root / f"{kind}-{number}", models) for kind in ("serial", "site"))
        pairs.append((serial.doit(), site.doit("-n", "2")))
    one, two = (_middle(costs) for costs in zip(*pairs, strict=True))
    stages = sum(float(event["seconds"]) for event in serial.events() if event["what"] == "made")
    said = f"{one.seconds:.1f} s, {one.megabytes:.0f} MB; {stages:.1f} s of it in stages"
    yield Row(f"first build of {artifacts:,} artifacts, one process", "", said)

    floor = _side_by_side(root, models)
    said = f"{floor:.1f} s: {floor / one.seconds:.2f} of one process"
    yield Row("two builds of half as many, at once, with nothing in common", "", said)

    site.events()
    ratios = [(b.seconds - bare_first.seconds) / (a.seconds - bare_first.seconds) for a, b in pairs]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    said = f"{two.seconds:.1f} s: {statistics.median(ratios):.2f} of one process ({each})"
    asked = "0.7 of the summed conversion time of one process, plus bare doit"
    yield Row(f"first build of {artifacts:,} artifacts, -n 2", asked, said)
    yield Row("memory of that", "under 250 MB", f"{two.megabytes:.0f} MB")

    forked = Site(root / "forked", models).doit("-n", "2", "-P", "process")
    ratio = (forked.seconds - bare_first.seconds) / (one.seconds - bare_first.seconds)
    yield Row("the same with -P process", "", f"{forked.seconds:.1f} s: {ratio:.2f} of one process")

    time.sleep(2)  # the files are old enough to be known by their time stamps
    site.doit()
    nothing = _median(site.doit, runs)
    ratio = nothing.seconds / bare.seconds
    said = f"{nothing.seconds:.2f} s: {ratio:.2f} times bare doit; {nothing.megabytes:.0f} MB; {site.ran()}"
    yield Row("nothing changed", "under 2 s, at most 2 times bare doit, under 250 MB", said)

    yield _changed(site, Site(root / "alone", 1), models, runs)

    site.lose_build()
    cleaned = site.doit()
    yield Row(
        "build/ removed", "2 ms an artifact above bare doit's first run", _restored(cleaned, bare_first, artifacts)
    )
    site.lose_all_but_the_store()
    restored = site.doit()
    said = _restored(restored, bare_first, artifacts)
    yield Row("only the store is left", "2 ms an artifact above bare doit's first run", f"{said}; {site.ran()}")

    site.write(static_shapes=True)
    default = site.doit()
    yield Row(
        "an option of half of them changed", "only the stages that see it", f"{default.seconds:.1f} s; {site.ran()}"
    )

    for option, what in (("--lock", "all locked"), ("--locked", "nothing changed, --locked --summary")):
        locked = site.modelbuild("build", option, "--summary", "summary.md")
        yield Row(what, "", f"{locked.seconds:.2f} s; {locked.megabytes:.0f} MB; {site.ran()}")


def _side_by_side(root: Path, models: int) -> float:
    """Seconds until both are done: what two processes give on this machine, if neither costs the other anything."""
    sites = [Site(root / f"half-{number}", models // 2) for number in range(2)]
    with ThreadPoolExecutor() as both:
        return max(cost.seconds for cost in both.map(Site.doit, sites))


def _restored(cost: Cost, bare: Cost, artifacts: int) -> str:
    return f"{cost.seconds:.1f} s: {(cost.seconds - bare.seconds) / artifacts * 1000:.2f} ms an artifact"


def _changed(site: Site, alone: Site, seed: int, runs: int) -> Row:
    """One source of many, in turn with the same where there is one."""
    alone.doit()
    spent = [(_change(site, seed + number), _change(alone, seed + number)) for number in range(runs)]
    among, by_itself = (", ".join(f"{seconds:.2f}" for seconds in each) for each in zip(*spent, strict=True))
    asked = f"that, and its own conversion (by itself, in turn: {by_itself} s)"
    return Row("one source changed", asked, f"{among} s above nothing changed; each time {site.ran(runs)}")


def _change(site: Site, seed: int) -> float:
    """Seconds of a build after one source changed, less those of finding nothing to do."""
    site.change("m0000", seed)
    return site.doit().seconds - site.doit().seconds


def large_rows(root: Path, name: str, place: Callable[[Path], None]) -> Iterator[Row]:
    """``place`` puts the model's files where its argument says."""
    site = Site(root / f"large {name}", 1, targets=("cpu",), precisions=("FP16",))
    place(site.root / "src" / "m0000.onnx")
    converted = site.doit()
    site.lose_build()
    cleaned = site.doit()
    copied = _copied(site.root / "build", root / f"copy {name}")
    site.lose_all_but_the_store()
    restored = site.doit()
    for what, cost in (("build/ removed", cleaned), ("only the store is left", restored)):
        ratio = converted.seconds / cost.seconds
        said = f"{converted.seconds:.2f} s to convert, {cost.seconds:.2f} s: {ratio:.1f} times; {copied:.2f} s to copy"
        yield Row(f"{name}, {what}", "5 times as fast as converting", said)


def _copied(folder: Path, to: Path) -> float:
    """Seconds to copy what is delivered: where the file system shares nothing, no restoring is faster."""
    started = time.perf_counter()
    shutil.copytree(folder, to)
    return time.perf_counter() - started


def _link(model: Path, to: Path) -> None:
    """The files of a model, where the site may read them; what the model calls them stays their name."""
    for path in model.parent.glob(f"{model.name}*"):
        target = to if path == model else to.with_name(path.name)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:  # another disk
            shutil.copyfile(path, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", type=int, default=500, metavar="MB", help="size of one large model; 0 for none")
    parser.add_argument("--model", type=Path, action="append", default=[], help="a large model of one's own")
    parser.add_argument("--folder", type=Path, help="where to work, on the disk that is to be measured")
    given = parser.parse_args()
    print("| | asked | measured |\n|---|---|---|")
    large = [(path.name, partial(_link, path.resolve())) for path in given.model]
    if given.large:
        large.insert(0, (f"a model of {given.large} MB", partial(_large_model, megabytes=given.large)))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        every = (large_rows(Path(folder), name, place) for name, place in large)
        for row in chain(rows(Path(folder), given.models, given.runs), chain.from_iterable(every)):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
