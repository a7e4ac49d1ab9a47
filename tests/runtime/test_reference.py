from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.runtime.reference import Reference, run


def write(path: Path, operator: str = "Add") -> Path:
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["y"])],
        "net",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [None, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_source_model_answers_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    got = run(write(tmp_path / "m.onnx"), {"b": np.ones((2, 3), "f4"), "a": np.full((2, 3), 2, "f4")})
    assert got["y"].tolist() == [[3, 3, 3], [3, 3, 3]]


def test_inputs_are_described_with_their_symbols(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    reference = Reference(write(tmp_path / "m.onnx"))
    assert {name: str(fact) for name, fact in reference.inputs.items()} == {"a": "f32[N,3]", "b": "f32[?,3]"}


def test_an_operator_that_onnxruntime_does_not_know_is_a_stage_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(StageError, match=r"m\.onnx: onnxruntime does not run it: .*NoSuchOperator"):
        Reference(write(tmp_path / "m.onnx", "NoSuchOperator"))


def test_a_missing_onnxruntime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentTrouble, match=r"pip install 'modelbuild\[prove\]'"):
        Reference(tmp_path / "m.onnx")
