"""Conversion against the official converter, and against itself on larger models.

usage: python benchmarks/convert.py process MODEL.onnx… [--runs 5] [--precision FP16]
       python benchmarks/convert.py growth [--nodes 200 2000 20000] [--runs 3]
       python benchmarks/convert.py calls [--times 100] [--runs 5]

`process`: seconds and peak resident memory of `modelbuild convert` and of `ovc`, whole processes that alternate.
`growth`: seconds of each phase for models of so many nodes, made here.
`calls`: conversions of a small model, one after the other in one process, against `convert_model` and `save_model` of
OpenVINO. Each writes a table of medians. The telemetry of OpenVINO is off, or it would wait for a network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from modelbuild.tensor.storage import Tensor

T = TypeVar("T")

WIDTH = 16
"""Channels of the models that are made here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = parser.add_subparsers(required=True)
    process = tables.add_parser("process")
    process.add_argument("models", nargs="+", type=Path)
    process.add_argument("--runs", type=int, default=5)
    process.add_argument("--precision", choices=["FP16", "FP32"], default="FP16")
    process.set_defaults(table=process_table)
    growth = tables.add_parser("growth")
    growth.add_argument("--nodes", nargs="+", type=int, default=[200, 2_000, 20_000])
    growth.add_argument("--runs", type=int, default=3)
    growth.set_defaults(table=growth_table)
    calls = tables.add_parser("calls")
    calls.add_argument("--times", type=int, default=100)
    calls.add_argument("--runs", type=int, default=5)
    calls.set_defaults(table=calls_table)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = str(quiet_home(Path(folder)))
        given.table(given, Path(folder))


def quiet_home(folder: Path) -> Path:
    """A home directory in which OpenVINO's telemetry is off."""
    home = folder / "home"
    (home / "intel").mkdir(parents=True)
    (home / "intel" / "openvino_telemetry").write_text("0")
    return home


# --- whole processes -------------------------------------------------------------------------------------------------


def process_table(given: argparse.Namespace, folder: Path) -> None:
    scripts = Path(sys.executable).parent
    print(f"| {given.precision} | modelbuild | ovc | time / ovc | memory / ovc |\n|---|---|---|---|---|")
    for model in given.models:
        out = folder / "out"
        ours = [str(scripts / "modelbuild"), "convert", str(model), "-o", str(out / "ours")]
        ours += ["--precision", given.precision]
        theirs = [str(scripts / "ovc"), str(model), "--output_model", str(out / "theirs" / "m.xml")]
        theirs += ["--compress_to_fp16", str(given.precision == "FP16")]
        # The first pair only brings the files into memory.
        pairs = [(run(ours), run(theirs)) for _ in range(given.runs + 1)][1:]
        shutil.rmtree(out)
        (a, b), (c, d) = (
            [statistics.median(pair[side][figure] for pair in pairs) for figure in (0, 1)] for side in (0, 1)
        )
        ratio = statistics.median(our[0] / their[0] for our, their in pairs)
        print(f"| {model.stem} | {a:.2f} s, {b:.0f} MB | {c:.2f} s, {d:.0f} MB | {ratio:.2f} | {b / d:.2f} |")


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak resident megabytes of one process."""
    started = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    pid = os.posix_spawn(command[0], list(command), os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


# --- growth ----------------------------------------------------------------------------------------------------------


def growth_table(given: argparse.Namespace, folder: Path) -> None:
    phases = ["load", "optimize", "write", "show", "parse"]
    print(f"| nodes | {' | '.join(phases)} | all, per node | parse, per node |\n|{'---|' * (len(phases) + 3)}")
    for nodes in given.nodes:
        model = chain(folder / f"{nodes}.onnx", nodes)
        rounds = [seconds_of_phases(model, folder / "m.xml") for _ in range(given.runs)]
        seconds = [statistics.median(each) for each in zip(*rounds, strict=True)]
        shown = " | ".join(f"{s:.3f} s" for s in seconds)
        print(f"| {nodes} | {shown} | {sum(seconds) / nodes * 1e6:.0f} us | {seconds[-1] / nodes * 1e6:.0f} us |")


def seconds_of_phases(model: Path, xml: Path) -> list[float]:
    from modelbuild.collector import collector_paused
    from modelbuild.frontends.load import load, read_source
    from modelbuild.graph.structure import Const
    from modelbuild.graph.text import parse, show
    from modelbuild.ir import save
    from modelbuild.passes.pipeline import optimize

    with collector_paused():
        loading, graph = timed(lambda: load(read_source(model), ()))
        optimizing, _ = timed(lambda: optimize(graph))
        writing, _ = timed(lambda: save(graph, xml))
        showing, text = timed(lambda: show(graph))
        contents = {leaf.digest: leaf for node in graph if isinstance(node.op, Const) for leaf in leaves(node.op.value)}
        parsing, _ = timed(lambda: parse(text, lambda digest, *_: contents[digest]))
    return [loading, optimizing, writing, showing, parsing]


def leaves(tensor: Any) -> Iterator[Tensor]:
    """The contents that a tensor is made of: what its text names by digest."""
    while hasattr(tensor, "source"):
        if hasattr(tensor, "factors"):
            yield tensor.factors
        tensor = tensor.source
    yield tensor


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def chain(path: Path, nodes: int) -> Path:
    """A model of blocks of four nodes: a convolution, its normalisation, the sum with what went in, an activation."""
    rng = np.random.default_rng(0)
    made, constants, last = [], [], "x"
    for i in range(nodes // 4):
        own = {
            "w": rng.standard_normal((WIDTH, WIDTH, 1, 1)) / WIDTH, "gamma": rng.uniform(0.5, 1, WIDTH),
            "beta": rng.standard_normal(WIDTH), "mean": rng.standard_normal(WIDTH), "var": rng.uniform(0.5, 1, WIDTH),
        }  # fmt: skip
        constants += [numpy_helper.from_array(a.astype(np.float32), f"{name}{i}") for name, a in own.items()]
        norm = [f"c{i}", *(f"{name}{i}" for name in ("gamma", "beta", "mean", "var"))]
        made += [
            helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], f"conv{i}"),
            helper.make_node("BatchNormalization", norm, [f"b{i}"], f"norm{i}"),
            helper.make_node("Add", [f"b{i}", last], [f"s{i}"], f"add{i}"),
            helper.make_node("Relu", [f"s{i}"], [f"y{i}"], f"relu{i}"),
        ]
        last = f"y{i}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH, 8, 8]) for name in ("x", last)]
    graph = helper.make_graph(made, "chain", ends[:1], ends[1:], constants)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


# --- in one process --------------------------------------------------------------------------------------------------


def calls_table(given: argparse.Namespace, folder: Path) -> None:
    import openvino

    import modelbuild

    model = chain(folder / "small.onnx", 40)

    def ours() -> None:
        modelbuild.save_model(modelbuild.convert_model(model), folder / "ours.xml")

    def theirs() -> None:
        openvino.save_model(openvino.convert_model(model), folder / "theirs.xml")

    def several(work: Callable[[], None]) -> float:
        started = time.perf_counter()
        for _ in range(given.times):
            work()
        return time.perf_counter() - started

    ours()
    theirs()
    pairs = [(several(ours), several(theirs)) for _ in range(given.runs)]
    a, b = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(our / their for our, their in pairs)
    print(f"| {given.times} conversions of 40 nodes | modelbuild | openvino | time / openvino |\n|---|---|---|---|")
    print(f"| after the imports | {a:.2f} s | {b:.2f} s | {ratio:.2f} |")


if __name__ == "__main__":
    main()
