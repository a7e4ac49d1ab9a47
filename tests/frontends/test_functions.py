"""Calls of functions that a model defines itself, and of those that the standard defines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.frontends.handlers import Handlers
from modelbuild.frontends.load import load, read_source
from modelbuild.frontends.onnx.registry import onnx as table
from modelbuild.frontends.onnx.standard import Definitions
from modelbuild.frontends.translate import translate
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate

MY = "my.domain"
STANDARD = helper.make_opsetid("", 18)
OWN = helper.make_opsetid(MY, 1)
X = np.array([-2.0, -1.0, 0.5], np.float32)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node whose inputs and outputs are separated by spaces; ``_`` is an absent one."""
    taken, given = ([n.replace("_", "") for n in side.split()] for side in (inputs, outputs))
    return helper.make_node(op, taken, given, **attributes)


def refers(made: Any, attribute: str, to: str) -> Any:
    """The node with a number as an attribute that takes the value of the function's attribute ``to``."""
    made.attribute.append(AttributeProto(name=attribute, type=AttributeProto.FLOAT, ref_attr_name=to))
    return made


def function(name: str, inputs: str, outputs: str, *nodes: Any, **how: Any) -> Any:
    imports = how.pop("opset_imports", [STANDARD, OWN])
    return helper.make_function(MY, name, inputs.split(), outputs.split(), nodes, imports, **how)


def convert(folder: Path, nodes: list[Any], functions: list[Any]) -> Graph:
    save(folder, nodes, functions, STANDARD)
    return load(read_source(folder / "m.onnx"))


def save(folder: Path, nodes: list[Any], functions: list[Any], opset: Any) -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:])
    model = helper.make_model(graph, functions=functions, opset_imports=[opset, OWN])
    onnx.save(model, folder / "m.onnx")


def run(graph: Graph) -> np.ndarray[Any, Any]:
    (found,) = evaluate(graph, [X])
    return found


TWICE = function("Twice", "a", "b", node("Add", "a a", "b"))


def test_a_call_is_what_its_body_computes(tmp_path: Path) -> None:
    graph = convert(tmp_path, [node("Twice", "x", "t", domain=MY), node("Twice", "t", "y", domain=MY)], [TWICE])
    np.testing.assert_array_equal(run(graph), 4 * X)


def test_values_of_each_call_have_names_of_their_own(tmp_path: Path) -> None:
    body = function("F", "a", "c", node("Neg", "a", "b"), node("Exp", "b", "c"))
    graph = convert(tmp_path, [node("F", "x", "t", domain=MY, name="one"), node("F", "t", "y", domain=MY)], [body])
    names = [name for made in graph.nodes() for value in made.outputs for name in value.names]
    assert names == ["x", "one/b", "t", "y/b", "y"]


def test_functions_call_functions(tmp_path: Path) -> None:
    four = function("Four", "p", "q", node("Twice", "p", "b", domain=MY), node("Twice", "b", "q", domain=MY))
    np.testing.assert_array_equal(run(convert(tmp_path, [node("Four", "x", "y", domain=MY)], [four, TWICE])), 4 * X)


def test_an_overload_is_another_function(tmp_path: Path) -> None:
    other = function("Twice", "a", "b", node("Neg", "a", "b"), overload="negative")
    call = node("Twice", "x", "y", domain=MY, overload="negative")
    np.testing.assert_array_equal(run(convert(tmp_path, [call], [TWICE, other])), -X)


def test_attributes_of_the_call_reach_the_body(tmp_path: Path) -> None:
    leaky = refers(node("LeakyRelu", "a", "b"), "alpha", "slope")
    body = function("F", "a", "b", leaky, attributes=["slope"])
    graph = convert(tmp_path, [node("F", "x", "y", domain=MY, slope=0.5)], [body])
    np.testing.assert_array_equal(run(graph), np.where(X < 0, X / 2, X))


def test_an_attribute_that_is_left_out_has_the_functions_default(tmp_path: Path) -> None:
    leaky = refers(node("LeakyRelu", "a", "b"), "alpha", "slope")
    body = function("F", "a", "b", leaky, attribute_protos=[helper.make_attribute("slope", 0.25)])
    np.testing.assert_array_equal(run(convert(tmp_path, [node("F", "x", "y", domain=MY)], [body])), X / [4, 4, 1])


def test_an_attribute_without_any_value_is_left_out_in_the_body(tmp_path: Path) -> None:
    leaky = refers(node("LeakyRelu", "a", "b"), "alpha", "slope")
    graph = convert(tmp_path, [node("F", "x", "y", domain=MY)], [function("F", "a", "b", leaky, attributes=["slope"])])
    np.testing.assert_allclose(run(graph), np.where(X < 0, X / 100, X))


def test_an_absent_input_is_absent_in_the_body(tmp_path: Path) -> None:
    body = function("F", "a low high", "b", node("Clip", "a low high", "b"))
    one = helper.make_node("Constant", [], ["one"], value_float=-1.0)
    graph = convert(tmp_path, [one, node("F", "x _ one", "y", domain=MY)], [body])
    np.testing.assert_array_equal(run(graph), np.minimum(X, -1))


def test_what_a_function_gives_may_be_what_it_takes(tmp_path: Path) -> None:
    body = function("F", "a", "a b", node("Neg", "a", "b"))
    nodes = [node("F", "x", "same negative", domain=MY), node("Add", "same negative", "y")]
    np.testing.assert_array_equal(run(convert(tmp_path, nodes, [body])), 0 * X)


def test_a_subgraph_sees_the_functions_values(tmp_path: Path) -> None:
    branches = [
        helper.make_graph([node(op, "b", "out")], op, [], [helper.make_empty_tensor_value_info("out")])
        for op in ("Neg", "Abs")
    ]
    condition = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    choose = helper.make_node("If", ["yes"], ["c"], then_branch=branches[0], else_branch=branches[1])
    body = function("F", "a", "c", node("Twice", "a", "b", domain=MY), condition, choose)
    graph = convert(tmp_path, [node("F", "x", "y", domain=MY)], [body, TWICE])
    np.testing.assert_array_equal(run(graph), -2 * X)


def test_a_function_has_operator_sets_of_its_own(tmp_path: Path) -> None:
    axes = helper.make_node("Unsqueeze", ["a"], ["wide"], axes=[0])
    old = function("F", "a", "b", axes, node("Squeeze", "wide", "b"), opset_imports=[helper.make_opsetid("", 11)])
    np.testing.assert_array_equal(run(convert(tmp_path, [node("F", "x", "y", domain=MY)], [old])), X)


def test_a_function_comes_before_the_operator_of_its_name(tmp_path: Path) -> None:
    relu = helper.make_function("", "Relu", ["a"], ["b"], [node("Neg", "a", "b")], [STANDARD])
    np.testing.assert_array_equal(run(convert(tmp_path, [node("Relu", "x", "y")], [relu])), -X)


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    bodies = [function(n, "a", "b", node(m, "a", "b", domain=MY)) for n, m in ("PQ", "QP")]
    with pytest.raises(SourceError, match=r"function 'P' calls itself, at my.domain.P 'b'"):
        convert(tmp_path, [node("P", "x", "y", domain=MY)], bodies)


def test_functions_that_come_to_billions_of_nodes_are_refused(tmp_path: Path) -> None:
    many = [
        function(f"F{i}", "a", "c", node(f"F{i + 1}", "a", "b", domain=MY), node(f"F{i + 1}", "b", "c", domain=MY))
        for i in range(40)
    ]
    with pytest.raises(SourceError, match="come to more than"):
        convert(tmp_path, [node("F0", "x", "y", domain=MY)], [*many, function("F40", "a", "b", node("Neg", "a", "b"))])


def test_functions_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    many = [function(f"F{i}", "a", "b", node(f"F{i + 1}", "a", "b", domain=MY)) for i in range(500)]
    with pytest.raises(SourceError, match="more than 64 deep"):
        convert(tmp_path, [node("F0", "x", "y", domain=MY)], many)


def test_a_call_with_an_attribute_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Twice 'y': attribute other is not known"):
        convert(tmp_path, [node("Twice", "x", "y", domain=MY, other=1)], [TWICE])


def test_a_call_with_too_many_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 inputs and 1 outputs, the function has at most 1 and 1"):
        convert(tmp_path, [node("Twice", "x x", "y", domain=MY)], [TWICE])


def test_operators_without_a_translation_are_found_in_functions(tmp_path: Path) -> None:
    body = function("F", "a", "b", node("Nonsense", "a", "b"), node("Nonsense", "a", "c"))
    with pytest.raises(UnsupportedModel) as error:
        convert(tmp_path, [node("F", "x", "y", domain=MY)], [body])
    assert error.value.operators == {"Nonsense-18": (2, "no translation, e.g. 'b'")}


def test_an_operator_without_a_handler_is_what_the_standard_defines_it_to_be(tmp_path: Path) -> None:
    few = Handlers("onnx")
    for name in ("Swish", "Mul"):
        found = table.find("", name, 28)
        assert found
        few.op(name)(found)
    save(tmp_path, [node("SwiGLU", "x x", "y")], [], helper.make_opsetid("", 28))
    graph = translate(read_source(tmp_path / "m.onnx"), few, Definitions())
    np.testing.assert_allclose(run(graph), X / (1 + np.exp(-X)) * X, rtol=1e-6)
    assert graph.notes == ["SwiGLU-28 is translated by its definition: there is no handler"]


def test_a_model_without_functions_may_have_any_number_of_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelbuild.frontends.functions.LARGEST", 1)
    graph = convert(tmp_path, [node("Neg", "x", "a"), node("Relu", "a", "y")], [])
    assert [type(n.op).__name__ for n in graph][-1] == "Relu"
