"""What cannot be said in OpenVINO is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from modelbuild.errors import UnsupportedModel
from modelbuild.frontends.onnx.frontend import read, to_graph
from modelbuild.frontends.onnx.registry import onnx as table
from modelbuild.frontends.onnx.untranslatable import UNTRANSLATABLE

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "onnx.md").read_text()


def test_a_model_with_one_is_refused_with_the_reason(tmp_path: Path) -> None:
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, [1, 4])
    node = helper.make_node("GreedySearch", ["ids", "ids"], ["y"], domain="com.microsoft", name="search")
    graph = helper.make_graph([node], "g", [ids], [helper.make_empty_tensor_value_info("y")])
    path = tmp_path / "m.onnx"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    with pytest.raises(UnsupportedModel, match="convert the decoder that it holds"):
        to_graph(read(path))


def test_what_has_a_handler_is_not_among_them() -> None:
    assert not UNTRANSLATABLE.keys() & {(domain, name) for domain, name, _, _ in table}


@pytest.mark.parametrize("name", sorted(name for _, name in UNTRANSLATABLE))
def test_the_documents_say_so(name: str) -> None:
    assert f"`{name}`" in DOCUMENTED
