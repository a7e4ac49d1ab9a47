from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sites import write_model

from modelbuild.convert import convert_model, save_model
from modelbuild.errors import ProofFailed
from modelbuild.stages import Build, FileInput, Inputs, Job, Outputs, Params, stage
from modelbuild.stages.names import BIN, IR, MODEL, PROOF, XML
from modelbuild.stages.prove import prove

pytestmark = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("onnxruntime") is None, reason="needs both runtimes"
)


@stage("toy_ir", code=(), versions=())
def toy_ir(inputs: Inputs, params: Params, out: Outputs) -> None:
    """The IR of the model, or whatever text is given instead."""
    xml, weights = out.path(XML), out.path(BIN)
    if params["instead"]:
        xml.write_text(params["instead"])
        weights.write_bytes(b"")
    else:
        shape = {"x": params["shape"]} if params["shape"] else None
        save_model(convert_model(inputs.path(MODEL), input_shape=shape), xml, compress_to_fp16=False)


class Bench:
    """Proves the IR of one model against another."""

    def __init__(self, root: Path) -> None:
        self.made = root / "made.onnx"
        self.source = root / "source.onnx"
        self.build = Build.open(root / "cache")
        write_model(self.made)
        write_model(self.source)

    def prove(self, *, precision: str = "FP32", instead: str = "", shape: list[str] | None = None) -> dict[str, Any]:
        ir = Job(toy_ir, "m", {"instead": instead, "shape": shape}, {MODEL: FileInput(self.made)})
        job = Job(prove, "m", {"precision": precision}, {IR: ir, MODEL: FileInput(self.source)})
        said: dict[str, Any] = json.loads(self.build.content(job, PROOF))
        return said


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_equal_models_agree(bench: Bench) -> None:
    said = bench.prove()
    assert said["proved"]
    assert said["worst"] == "y"
    assert said["outputs"]["y"]["misplaced"] == 0
    assert said["max_rel_to_peak"] < 1e-6


def test_the_first_open_dimension_is_one(bench: Bench) -> None:
    assert bench.prove()["inputs"] == {"x": [1, 8]}


def test_bounds_of_the_artifact_hold(bench: Bench) -> None:
    assert bench.prove(shape=["3..5", "8"])["inputs"] == {"x": [3, 8]}


def test_other_numbers_are_reported_not_judged(bench: Bench) -> None:
    write_model(bench.source, scale=-4.0)
    assert bench.prove()["max_rel_to_peak"] > 0.1


def test_an_ir_that_does_not_load_fails(bench: Bench) -> None:
    with pytest.raises(ProofFailed, match="does not load"):
        bench.prove(instead="<net/>")


def test_nans_in_other_places_fail_in_full_precision_only(bench: Bench) -> None:
    write_model(bench.source, scale=90.0, op="Log")
    with pytest.raises(ProofFailed, match="'y'"):
        bench.prove()
    assert bench.prove(precision="FP16")["outputs"]["y"]["misplaced"] > 0


def test_a_source_that_its_runtime_refuses_leaves_it_unproved(bench: Bench) -> None:
    write_model(bench.source, op="NoSuchOperator")
    said = bench.prove()
    assert not said["proved"]
    assert "cannot be run" in said["why"]
