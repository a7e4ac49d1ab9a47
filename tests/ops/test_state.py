"""Variables."""

from __future__ import annotations

import pytest

from modelbuild import ops
from modelbuild.graph import Graph, Node
from modelbuild.graph.structure import Parameter
from modelbuild.graph.text import parse, show
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact

F32 = ElementType.f32


def test_a_variable_is_what_it_is_declared_as() -> None:
    made = ops.ReadValue("v", F32, (1, 8)).infer(Fact(F32, (1, 8)))
    assert (made.dtype, made.shape) == (F32, (1, 8))


def test_a_first_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="variable v is f32"):
        ops.ReadValue("v", F32, (1, 8)).infer(Fact(ElementType.i64, (1, 8)))


def test_a_first_value_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        ops.ReadValue("v", F32, (1, 8)).infer(Fact(F32, (1, 9)))


def test_a_graph_keeps_what_is_assigned() -> None:
    x = Node(Parameter(F32, (1, 8)), (), "x", names=("x",)).output
    read = Node(ops.ReadValue("v", F32, (1, 8)), [x], "read")
    total = Node(ops.Add(), [x, read.output], "total")
    graph = Graph([x], [total.output], [Node(ops.Assign("v"), [total.output], "assign")])
    assert [type(n.op).__name__ for n in parse(show(graph))] == ["Parameter", "ReadValue", "Add", "Assign"]


def test_reading_twice_is_not_reading_once() -> None:
    assert not ops.ReadValue.pure
    assert not ops.Assign.pure
