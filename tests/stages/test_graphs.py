from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelbuild import digest
from modelbuild.stages import Build, FileInput, Job
from modelbuild.stages.emit import emit
from modelbuild.stages.graphs import TEXT
from modelbuild.stages.load import load
from modelbuild.stages.names import BIN, GRAPH, MODEL, ORIGIN
from modelbuild.stages.specialize import specialize
from modelbuild.targets import Compression, Limits, Precision

NOTHING: Mapping[str, str] = MappingProxyType({})


def write_model(path: Path, doc: str) -> None:
    """A model whose weights lie further back the longer ``doc`` is."""
    weights = numpy_helper.from_array(np.arange(64 * 64, dtype=np.float32).reshape(64, 64), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [weights],
    )
    onnx.save(helper.make_model(graph, producer_name=doc, opset_imports=[helper.make_opsetid("", 17)]), path)


def artifact(model: Path, precision: str, *, name: str = "m", rename: Mapping[str, str] = NOTHING) -> Job:
    files = {MODEL: FileInput(model)}
    params = {"framework": "onnx", "inputs": [], "order": [], "batch": None, "outputs": [], "files": [MODEL]}
    loaded = Job(load, "m", params, files)
    aside: dict[str, Job | FileInput] = {**files, ORIGIN: loaded}
    asked = {
        "precision": precision,
        "limits": Limits().plain(),
        "compression": Compression().plain(Precision(precision)),
        "rename": dict(rename),
        "files": [MODEL],
    }
    special = Job(specialize, f"m@cpu:{precision}", asked, {GRAPH: loaded}, aside)
    return Job(emit, f"m@cpu:{precision}", {"name": name}, {GRAPH: special}, aside)


def emitted(cache: Path, model: Path, precision: str) -> str:
    build = Build.open(cache)
    return digest.of_file(build.store.path(build.ensure(artifact(model, precision)).blob(BIN)))


def test_weights_that_moved_within_the_file_are_found(tmp_path: Path) -> None:
    """Loading the moved file gives an equal graph, so what follows is a hit; the places must be the new ones."""
    model = tmp_path / "m.onnx"
    write_model(model, "short")
    build = Build.open(tmp_path / "cache")
    special = artifact(model, "FP32").inputs[GRAPH]
    assert isinstance(special, Job)
    build.ensure(special)
    write_model(model, "a much longer name of the producer")
    assert emitted(tmp_path / "cache", model, "FP32") == emitted(tmp_path / "fresh", model, "FP32")


@pytest.mark.parametrize("precision", ["FP16", "BF16", "INT8"])
def test_weights_of_a_graph_that_is_read_back_are_those_of_one_handed_over(tmp_path: Path, precision: str) -> None:
    model = tmp_path / "m.onnx"
    write_model(model, "short")
    special = artifact(model, precision).inputs[GRAPH]
    assert isinstance(special, Job)
    Build.open(tmp_path / "cache").ensure(special)
    assert emitted(tmp_path / "cache", model, precision) == emitted(tmp_path / "fresh", model, precision)


def test_a_graph_that_suits_as_it_is_is_passed_on(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    write_model(model, "short")
    special = artifact(model, "FP32").inputs[GRAPH]
    assert isinstance(special, Job)
    loaded = special.inputs[GRAPH]
    assert isinstance(loaded, Job)
    build = Build.open(tmp_path / "cache")
    before, after = build.ensure(loaded).record, build.ensure(special).record
    assert after.outputs[TEXT] == before.outputs[TEXT]
    assert after.references == before.references


def test_what_one_artifact_asks_of_a_graph_does_not_reach_another(tmp_path: Path) -> None:
    """They look at one graph as long as none of them changes it."""
    model = tmp_path / "m.onnx"
    write_model(model, "short")
    renamed = artifact(model, "FP32", rename={"x": "other"})
    build = Build.open(tmp_path / "cache")
    jobs = (artifact(model, "FP32", name="other"), renamed, artifact(model, "FP16"), artifact(model, "FP32"))
    for number, job in enumerate(jobs):
        fresh = Build.open(tmp_path / f"fresh{number}")
        assert build.ensure(job).record.outputs == fresh.ensure(job).record.outputs
