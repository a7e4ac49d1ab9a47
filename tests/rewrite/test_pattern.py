"""What patterns meet, and in how many ways."""

from __future__ import annotations

import pytest

from modelbuild import ops
from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Parameter
from modelbuild.rewrite import anything, of
from modelbuild.rewrite.pattern import matches
from modelbuild.tensor.dtype import ElementType


def given(name: str) -> Value:
    return Node(Parameter(ElementType.f32, (2,)), (), name).output


def made(op: Op, *inputs: Value) -> Value:
    return Node(op, inputs).output


def test_inputs_that_may_change_places_are_met_in_both_orders() -> None:
    a, b = given("a"), given("b")
    x, y = anything(), anything()
    found = matches(of(ops.Add, x, y), made(ops.Add(), a, b).producer)
    assert [(m[x], m[y]) for m in found] == [(a, b), (b, a)]


def test_each_order_below_is_a_way_of_its_own() -> None:
    a, b, c = given("a"), given("b"), given("c")
    x, y, z = anything(), anything(), anything()
    product = of(ops.Multiply, x, y)
    total = made(ops.Add(), made(ops.Multiply(), a, b), c)
    found = matches(of(ops.Add, product, z), total.producer)
    assert [(m[x], m[y], m[z]) for m in found] == [(a, b, c), (b, a, c)]


@pytest.mark.parametrize("same", [True, False])
def test_a_variable_that_stands_twice_meets_one_value(same: bool) -> None:
    a, b = given("a"), given("b")
    x = anything()
    found = matches(of(ops.Subtract, x, x), made(ops.Subtract(), a, a if same else b).producer)
    assert [m[x] for m in found] == [a] * same


def test_a_way_that_ends_leaves_nothing_on_the_other() -> None:
    """The first order binds ``x`` to what the second must not find there."""
    a, b = given("a"), given("b")
    x = anything()
    squared = of(ops.Multiply, x, x)
    found = matches(of(ops.Add, x, squared), made(ops.Add(), made(ops.Multiply(), a, a), a).producer)
    assert [m[x] for m in found] == [a]
    assert not matches(of(ops.Add, x, squared), made(ops.Add(), made(ops.Multiply(), a, b), a).producer)


def test_a_node_is_asked_what_its_kind_cannot_tell() -> None:
    x = anything()
    wanted = of(ops.Relu, x, where=lambda relu: relu.name == "wanted")
    relu = made(ops.Relu(), given("a"))
    above = made(ops.Sqrt(), relu).producer
    assert not matches(wanted, relu.producer)
    assert not matches(of(ops.Sqrt, wanted), above)
    relu.producer.name = "wanted"
    assert matches(wanted, relu.producer)
    assert matches(of(ops.Sqrt, wanted), above)
