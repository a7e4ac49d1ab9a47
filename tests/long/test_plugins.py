"""Profiles of devices that are here, held against what the plugin answers: a difference either way is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from corpus import models
from single_uses import CASES, uses

from modelbuild import ops
from modelbuild.convert import convert_model
from modelbuild.graph import Graph, Node
from modelbuild.graph.op import REGISTRY
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ir import save
from modelbuild.passes.fit import judgement, refused
from modelbuild.rewrite import Trace
from modelbuild.targets import BUILT_IN, PROFILES, Limits
from modelbuild.tensor.dtype import ElementType

pytestmark = pytest.mark.slow
openvino = pytest.importorskip("openvino")

DEVICE = "CPU"


@pytest.fixture(scope="module")
def core() -> Any:
    return openvino.Core()


def test_no_profile_claims_to_be_verified_that_is_not(core: Any) -> None:
    assert {name for name in PROFILES if PROFILES[name].verified} == {"AUTO", DEVICE}
    assert BUILT_IN["auto"].profiles[0].limits == BUILT_IN["cpu"].profiles[0].limits


@pytest.mark.models
@pytest.mark.parametrize("folder", models("onnx"))
def test_the_plugin_takes_what_the_profile_takes_of_a_real_model(folder: Path, tmp_path: Path, core: Any) -> None:
    graph = convert_model(folder / "model.onnx")
    assert refused(graph, limits(), Trace()) == []
    assert not_taken(core, graph, tmp_path) == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_plugin_takes_an_operation_where_the_profile_does(case: Any, tmp_path: Path, core: Any) -> None:
    for graph, _ in uses(case):
        judged = {node.name for node in graph.nodes() if refuses(graph, node)}
        left = not_taken(core, graph, tmp_path)
        assert judged <= left  # with a layer that it does not take, the plugin leaves out what surrounds it
        assert bool(judged) == bool(left)


def test_the_plugin_takes_a_variable_where_the_profile_does(tmp_path: Path, core: Any) -> None:
    x = Node(Parameter(ElementType.f32, (1, 8)), (), "x", names=["x"]).output
    read = Node(ops.ReadValue("v", ElementType.f32, (1, 8)), [x], "read")
    graph = Graph([x], read.outputs, [Node(ops.Assign("v"), [x], "assign")])
    assert judgement(graph, limits()) == []
    assert not_taken(core, graph, tmp_path) == set()


def test_no_operation_is_without_a_use() -> None:
    kinds = set(REGISTRY.own.values())
    bases = {base for kind in kinds for base in kind.__mro__[1:]}
    alone = {type(case.op) for case in CASES} | {Const, Parameter, ops.ReadValue, ops.Assign}
    assert kinds - bases - alone == set()


def limits() -> Limits:
    return BUILT_IN[DEVICE.lower()].limits()


def refuses(graph: Graph, node: Node[Any]) -> bool:
    """Whether the profile refuses a node as it is."""
    told = f"{node.op.ir_type()} {node.name!r}: "
    return any(str(refusal).startswith(told) for refusal in judgement(graph, limits()))


def not_taken(core: Any, graph: Graph, folder: Path) -> set[str]:
    """The layers that the plugin does not take."""
    save(graph, folder / "m.xml")
    model = core.read_model(folder / "m.xml")
    taken = core.query_model(model, DEVICE)
    return {op.get_friendly_name() for op in model.get_ops()} - set(taken)
