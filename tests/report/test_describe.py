from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelbuild.convert import convert_model, save_model
from modelbuild.errors import SourceError
from modelbuild.frontends.onnx import frontend
from modelbuild.frontends.source import SourceModel
from modelbuild.graph import Graph
from modelbuild.report.describe import IrDescription, SourceDescription, Unsupported, describe
from modelbuild.report.summary import Port


def write(path: Path, *nodes: Any, opset: int = 17) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    w = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = helper.make_graph(list(nodes), "net", [x], [y], [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="tests")
    model.ir_version = 8
    onnx.save(model, path)
    return path


def source(path: Path) -> SourceDescription:
    found = describe(path)
    assert isinstance(found, SourceDescription)
    return found


def test_a_source_model_is_told_as_its_framework_wrote_it(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", helper.make_node("MatMul", ["x", "w"], ["y"]))
    found = source(path)
    assert (found.framework, found.opsets, found.producer) == ("onnx", {"onnx": 17}, "tests")
    assert found.inputs == (Port("x", "f32", "[N,3]"),)
    assert found.outputs == (Port("y", "f32", "[...]"),)
    assert found.operators == {"MatMul": 1}
    assert [(file.name, file.bytes) for file in found.files] == [("net.onnx", path.stat().st_size)]


def test_what_becomes_of_it_is_told_too(tmp_path: Path) -> None:
    found = source(write(tmp_path / "net.onnx", helper.make_node("MatMul", ["x", "w"], ["y"])))
    assert found.converted is not None
    assert (found.converted.macs, found.converted.outputs) == (6, (Port("y", "f32", "[N,2]"),))
    assert (found.unsupported, found.trouble) == ({}, "")


def test_all_that_is_unsupported_is_told_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Odd", ["x"], ["a"], "first"),
        helper.make_node("Odd", ["a"], ["b"], "second"),
        helper.make_node("Strange", ["b"], ["y"], "third"),
    ]
    found = source(write(tmp_path / "net.onnx", *nodes))
    assert found.converted is None
    assert found.unsupported == {
        "Odd-17": Unsupported(2, "no translation, e.g. 'first'"),
        "Strange-17": Unsupported(1, "no translation, e.g. 'third'"),
    }


def test_a_model_that_contradicts_itself_is_described_with_its_trouble(tmp_path: Path) -> None:
    found = source(write(tmp_path / "net.onnx", helper.make_node("MatMul", ["w", "w"], ["y"])))
    assert found.converted is None
    assert "MatMul" in found.trouble


def test_what_translation_notes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted(model: SourceModel) -> Graph:
        graph = to_graph(model)
        graph.notes.append("translated by its definition")
        return graph

    to_graph = frontend.to_graph
    monkeypatch.setattr(frontend, "to_graph", noted)
    found = source(write(tmp_path / "net.onnx", helper.make_node("MatMul", ["x", "w"], ["y"])))
    assert found.converted is not None
    assert found.converted.notes == ("translated by its definition",)


def test_operators_in_subgraphs_are_counted(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])],
        "branch",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    assert source(write(tmp_path / "net.onnx", *nodes)).operators == {"Cast": 1, "If": 1, "ReduceMax": 1, "Relu": 2}


def test_an_ir_is_told_as_it_lies_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", helper.make_node("MatMul", ["x", "w"], ["y"]))
    written = save_model(convert_model(path), tmp_path / "net.xml", compress_to_fp16=False)
    found = describe(tmp_path / "net.xml")
    assert isinstance(found, IrDescription)
    assert (found.operators, found.layers, found.parameters) == ({"MatMul": 1}, 1, 6)
    assert [(port.name, port.type) for port in (*found.inputs, *found.outputs)] == [("x", "f32"), ("y", "f32")]
    assert [(f.name, f.bytes) for f in found.files] == [("net.xml", written.xml_size), ("net.bin", written.bin_size)]


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("not a model")
    with pytest.raises(SourceError, match="found text"):
        describe(tmp_path / "net.onnx")
