from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sites import write_model
from test_prove import toy_ir

from modelbuild.report.proof import Latency
from modelbuild.stages import Build, FileInput, Inputs, Job, Outputs, Params, stage
from modelbuild.stages.measure import measure
from modelbuild.stages.names import IR, LATENCY, MODEL, PLAIN, PROOF

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")


@stage("toy_proof", code=(), versions=())
def toy_proof(inputs: Inputs, params: Params, out: Outputs) -> None:
    """As `prove` would say it, or that nothing was proved."""
    out.write(PROOF, json.dumps(params).encode())


def measured(root: Path, *, proved: bool = True, in_turn: bool = False) -> dict[str, Any]:
    write_model(root / "m.onnx")
    ir = Job(toy_ir, "m", {"instead": "", "shape": None}, {MODEL: FileInput(root / "m.onnx")})
    proof = Job(toy_proof, "m", {"proved": proved, "inputs": {"x": [2, 8]}})
    inputs = {IR: ir, PROOF: proof, **({PLAIN: ir} if in_turn else {})}
    job = Job(measure, "m", {"device": "CPU", "in_turn": in_turn}, inputs)
    said: dict[str, Any] = json.loads(Build.open(root / "cache").content(job, LATENCY))
    return said


def test_the_time_of_a_run_is_told_with_the_device(tmp_path: Path) -> None:
    found = Latency.read(measured(tmp_path))
    assert found is not None
    assert (found.device, found.ratio) == ("CPU", None)
    assert 0 < found.milliseconds < 1000
    assert found.name


def test_a_model_runs_about_as_long_as_itself(tmp_path: Path) -> None:
    found = Latency.read(measured(tmp_path, in_turn=True))
    assert found is not None
    assert found.ratio is not None
    assert 0.2 < found.ratio < 5


def test_what_could_not_be_proved_is_not_timed(tmp_path: Path) -> None:
    assert Latency.read(measured(tmp_path, proved=False)) is None
