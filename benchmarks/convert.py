"""Whole-process conversion against the official converter, in turn.

usage: python benchmarks/convert.py MODEL.onnx… [--runs 5] [--precision FP16]

Writes a table: seconds and peak resident memory of `modelbuild convert` and of `ovc` (its telemetry switched off, or it
would wait for a network), medians of runs that alternate, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


def run(command: Sequence[str], home: Path) -> tuple[float, float]:
    """Seconds and peak resident megabytes of one process."""
    quiet = {**os.environ, "HOME": str(home)}
    started = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    pid = os.posix_spawn(command[0], list(command), quiet, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--precision", default="FP16")
    given = parser.parse_args()
    scripts = Path(sys.executable).parent
    print(f"| {given.precision} | modelbuild | ovc | time / ovc | memory / ovc |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        (home / "intel").mkdir(parents=True)
        (home / "intel" / "openvino_telemetry").write_text("0")
        for model in given.models:
            out = Path(folder, "out")
            ours = [str(scripts / "modelbuild"), "convert", str(model), "-o", str(out / "ours")]
            ours += ["--precision", given.precision]
            theirs = [str(scripts / "ovc"), str(model), "--output_model", str(out / "theirs" / "m.xml")]
            theirs += ["--compress_to_fp16", str(given.precision == "FP16")]
            pairs = []
            for warm in range(given.runs + 1):
                pair = run(ours, home), run(theirs, home)
                if warm:
                    pairs.append(pair)
            shutil.rmtree(out)
            (a, b), (c, d) = (
                [statistics.median(pair[side][figure] for pair in pairs) for figure in (0, 1)] for side in (0, 1)
            )
            time_ratio = statistics.median(pair[0][0] / pair[1][0] for pair in pairs)
            print(f"| {model.stem} | {a:.2f} s, {b:.0f} MB | {c:.2f} s, {d:.0f} MB | {time_ratio:.2f} | {b / d:.2f} |")


if __name__ == "__main__":
    main()
