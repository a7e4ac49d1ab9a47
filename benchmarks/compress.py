"""Weights in INT8 and INT4 against nncf's `compress_weights`.

usage: python benchmarks/compress.py MODEL.onnx --nncf PYTHON [--runs 3] [--tokens 64] [--precisions INT8 INT4]

PYTHON is that of an environment with nncf and openvino. Whole processes, from the ONNX file to the IR's files, that
alternate: seconds, seconds of processor and peak resident memory, as medians; then what the call of `compress_weights`
alone took, or our whole process. Then both results and an FP32 of the model are run on the CPU, in single
precision, on the same random tokens, and the answers compared: the root of the mean square of the differences to FP32,
as a part of that of FP32, and the largest as a part of its largest number. The model has one input, of tokens.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import Array

THEIRS = """
import sys
from time import perf_counter
import nncf, openvino
model = openvino.convert_model(sys.argv[1])
begin = perf_counter()
model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode(sys.argv[3]))
print("compressed", perf_counter() - begin)
openvino.save_model(model, sys.argv[2], compress_to_fp16=False)
"""
MODES = {"INT8": "int8_asym", "INT4": "int4_sym"}


@dataclass(frozen=True)
class Spent:
    """``call`` is what the compression itself took, where that is known."""

    wall: float
    cpu: float
    peak: float
    call: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--nncf", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--precisions", nargs="+", choices=list(MODES), default=list(MODES))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = str(quiet_home(Path(folder)))
        print("| | seconds | processor | peak memory | compress_weights | bytes | rms error | largest error |")
        print("|---|---|---|---|---|---|---|---|")
        plain = Path(folder, "FP32", f"{given.model.stem}.xml")
        spend(ours(given.model, "FP32", plain.parent))
        # All before any model is loaded here: the peak of a process begins with that of the one that started it.
        spent = {precision: measure(given, precision, Path(folder)) for precision in given.precisions}
        wanted = answers(plain, given.tokens)
        for precision, medians in spent.items():
            tell(precision, medians, Path(folder), given, wanted)


def quiet_home(folder: Path) -> Path:
    """A home directory in which OpenVINO's telemetry is off."""
    home = folder / "home"
    (home / "intel").mkdir(parents=True)
    (home / "intel" / "openvino_telemetry").write_text("0")
    return home


def ours(model: Path, precision: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "modelbuild", "convert", str(model), "--precision", precision, "-o", str(folder)]


def pairs(given: argparse.Namespace, precision: str, folder: Path) -> dict[str, Path]:
    return {"modelbuild": folder / precision / f"{given.model.stem}.xml", "nncf": folder / f"{precision}.xml"}


def measure(given: argparse.Namespace, precision: str, folder: Path) -> dict[str, Spent]:
    made = pairs(given, precision, folder)
    commands = {
        "modelbuild": ours(given.model, precision, made["modelbuild"].parent),
        "nncf": [str(given.nncf), "-c", THEIRS, str(given.model), str(made["nncf"]), MODES[precision]],
    }
    # The first pair only brings the files into memory.
    runs = [{name: spend(command) for name, command in commands.items()} for _ in range(given.runs + 1)][1:]
    return {name: median([run[name] for run in runs]) for name in commands}


def tell(precision: str, medians: dict[str, Spent], folder: Path, given: argparse.Namespace, wanted: Array) -> None:
    for name, pair in pairs(given, precision, folder).items():
        spent = medians[name]
        size = sum(pair.with_suffix(end).stat().st_size for end in (".xml", ".bin"))
        rms, largest = errors(answers(pair, given.tokens), wanted)
        measured = f"{spent.wall:.2f} | {spent.cpu:.2f} | {spent.peak:.0f} MB | {spent.call or spent.wall:.2f} | {size}"
        print(f"| {precision} {name} | {measured} | {rms:.5f} | {largest:.5f} |", flush=True)
    mine, theirs = medians["modelbuild"], medians["nncf"]
    print(
        f"| {precision} ratio | {mine.wall / theirs.wall:.3f} | {mine.cpu / theirs.cpu:.3f} "
        f"| {mine.peak / theirs.peak:.3f} | {mine.wall / theirs.call:.3f} | | | |",
        flush=True,
    )


def spend(command: list[str]) -> Spent:
    begin = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command[:3])} … ended with {os.waitstatus_to_exitcode(status)}")
    calls = [float(line.split()[1]) for line in said.splitlines() if line.startswith("compressed ")]
    return Spent(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3 * 1.024, *calls)


def median(runs: list[Spent]) -> Spent:
    return Spent(*(statistics.median(values) for values in zip(*(vars(run).values() for run in runs), strict=True)))


def answers(xml: Path, tokens: int) -> Array:
    session = Session(xml)
    (name,) = session.inputs
    rng = np.random.default_rng(0)
    (answer, *_) = session.run({name: rng.integers(0, 1000, (4, tokens))}).values()
    return answer.astype(np.float64)


def errors(given: Array, wanted: Array) -> tuple[float, float]:
    difference = given - wanted
    return (
        float(np.sqrt(np.square(difference).mean() / np.square(wanted).mean())),
        float(np.abs(difference).max() / np.abs(wanted).max()),
    )


if __name__ == "__main__":
    main()
