from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pictures
import pytest
from sites import write_model

from modelbuild.convert import convert_model, save_model
from modelbuild.errors import ProofFailed, SourceError
from modelbuild.manifest.model import InputSpec, Transform
from modelbuild.stages import Build, FileInput, Inputs, Job, Outputs, Params, stage
from modelbuild.stages.names import BIN, IR, MODEL, PROOF, XML
from modelbuild.stages.prove import prove
from modelbuild.stages.specs import plain_spec
from modelbuild.tensor.dtype import ElementType

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


PREPARED: dict[str, Any] = {
    "input_type": {"image": "u8"},
    "layout": "NCHW->NHWC",
    "reverse_input_channels": True,
    "mean_values": pictures.MEAN,
    "scale_values": pictures.SCALE,
}


@stage("prepared_ir", code=(), versions=())
def prepared_ir(inputs: Inputs, params: Params, out: Outputs) -> None:
    """The IR of a model of pictures, prepared."""
    xml, _ = out.path(XML), out.path(BIN)
    save_model(convert_model(inputs.path(MODEL), **PREPARED), xml, compress_to_fp16=False)


PLAIN: dict[str, Any] = {
    "precision": "FP32",
    "inputs": [],
    "reference": [],
    "samples": 1,
    "extended": False,
    "rename": {},
    "top1_axis": None,
}


class Bench:
    """Proves the IR of one model against another."""

    def __init__(self, root: Path) -> None:
        self.made = root / "made.onnx"
        self.source = root / "source.onnx"
        self.build = Build.open(root / "cache")
        write_model(self.made)
        write_model(self.source)

    def prove(
        self,
        *examples: Path,
        precision: str = "FP32",
        instead: str = "",
        shape: list[str] | None = None,
        samples: int = 100,
        top1_axis: int | None = None,
    ) -> dict[str, Any]:
        ir = Job(toy_ir, "m", {"instead": instead, "shape": shape}, {MODEL: FileInput(self.made)})
        files = {f"reference:{path.name}": FileInput(path) for path in examples}
        params = {
            "precision": precision,
            "inputs": [],
            "reference": list(files),
            "samples": samples,
            "extended": False,
            "rename": {},
            "top1_axis": top1_axis,
        }
        job = Job(prove, "m", params, {IR: ir, MODEL: FileInput(self.source), **files})
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


def test_what_is_done_to_an_input_is_done_for_the_source_too(tmp_path: Path) -> None:
    source = FileInput(pictures.write(tmp_path / "m.onnx"))
    ir = Job(prepared_ir, "m", {}, {MODEL: source})
    spec = InputSpec(
        "image", None, "NCHW", ElementType.u8, "NHWC", reverse_channels=True, mean=pictures.MEAN, scale=pictures.SCALE
    )
    build = Build.open(tmp_path / "cache")
    found = {}
    for what, inputs in ("said", [plain_spec(spec)]), ("unsaid", [plain_spec(replace(spec, mean=()))]):
        params = {**PLAIN, "inputs": inputs}
        job = Job(prove, "m", params, {IR: ir, MODEL: source})
        found[what] = json.loads(build.content(job, PROOF))["max_rel_to_peak"]
    assert found["said"] < 1e-5
    assert found["unsaid"] > 0.01


def test_a_frozen_input_of_the_source_is_fed_with_its_value(tmp_path: Path) -> None:
    from modelbuild.runtime.prepare import for_source
    from modelbuild.tensor.fact import Fact

    facts = {"x": Fact(ElementType.f32, (2,)), "n": Fact(ElementType.i64, (1,))}
    fed = for_source({"x": np.array([1, 2], np.uint8)}, {"n": InputSpec("n", value=(3,))}, facts)
    assert {name: (array.dtype.name, array.tolist()) for name, array in fed.items()} == {
        "x": ("float32", [1, 2]),
        "n": ("int64", [3]),
    }


@stage("stateful_ir", code=(), versions=())
def stateful_ir(inputs: Inputs, params: Params, out: Outputs) -> None:
    """The IR of a model of which ``b`` is what ``ab`` was the last time."""
    xml, _ = out.path(XML), out.path(BIN)
    kept = Transform(make_stateful=(("b", "ab"),))
    save_model(convert_model(inputs.path(MODEL), output=["y", "ab"], transform=kept), xml, compress_to_fp16=False)


def test_a_state_of_the_artifact_is_zeros_for_the_source(tmp_path: Path) -> None:
    source = FileInput(pictures.write_sum(tmp_path / "m.onnx"))
    ir = Job(stateful_ir, "m", {}, {MODEL: source})
    params = PLAIN
    job = Job(prove, "m", params, {IR: ir, MODEL: source})
    said = json.loads(Build.open(tmp_path / "cache").content(job, PROOF))
    assert (sorted(said["inputs"]), sorted(said["outputs"])) == (["a", "n"], ["y"])
    assert said["max_rel_to_peak"] < 1e-6


def test_an_input_is_known_by_any_of_its_names(bench: Bench) -> None:
    """Behind a node that does nothing an input has the name of what that gave too."""
    write_model(bench.made, op="Identity")
    write_model(bench.source, op="Identity")
    for path in (bench.made, bench.source):
        model = onnx.load(path)
        model.graph.node.insert(0, onnx.helper.make_node("Identity", ["x"], ["a_name_before_x"]))
        model.graph.node[1].input[0] = "a_name_before_x"
        onnx.save(model, path)
    assert bench.prove()["inputs"] == {"x": [1, 8]}


def test_noise_is_one_example(bench: Bench) -> None:
    said = bench.prove()
    assert (said["examples"], said["on"]) == (1, "noise")


def test_given_examples_are_run_instead_of_noise(bench: Bench, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((2, 5, 8), np.float32))
    np.savez(tmp_path / "more.npz", x=np.zeros((3, 1, 8), np.float32))
    said = bench.prove(tmp_path / "few.npy", tmp_path / "more.npz")
    assert (said["examples"], said["on"], said["outputs"]["y"]["rows"]) == (5, "reference", 2 * 5 + 3)


def test_no_more_examples_are_run_than_asked_for(bench: Bench, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((9, 5, 8), np.float32))
    assert bench.prove(tmp_path / "few.npy", samples=4)["examples"] == 4


def test_an_example_that_does_not_fit_is_named(bench: Bench, tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", np.ones((5, 7), np.float32))
    with pytest.raises(SourceError, match=r"odd\.npy: input 'x': .* is taken, found an array of \[5, 7\]"):
        bench.prove(tmp_path / "odd.npy")


def test_it_is_told_how_often_the_largest_element_is_the_same(bench: Bench, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(8, dtype=np.float32))
    assert bench.prove(tmp_path / "rows.npy")["outputs"]["y"]["top1"] == 1.0
    write_model(bench.source, scale=-2.0)
    assert bench.prove(tmp_path / "rows.npy")["outputs"]["y"]["top1"] < 1.0


def test_rows_run_along_the_axis_that_is_said(bench: Bench, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(8, dtype=np.float32))
    assert bench.prove(tmp_path / "rows.npy", top1_axis=0)["outputs"]["y"]["rows"] == 4


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
