"""What holds for every operation that moves elements."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import pytest
from moves import CASES, Case
from truth import (
    holds,
    holds_of_static_shapes,
    holds_of_symbolic_shapes,
    holds_of_unknown_ranks,
    outputs,
)

from modelbuild import ir
from modelbuild.graph import Graph, Node
from modelbuild.graph.known import infer
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr
from modelbuild.tensor.storage import InMemory

each = pytest.mark.parametrize("case", CASES, ids=str)


@each
def test_static_shapes_are_those_of_the_result(case: Case) -> None:
    assert holds_of_static_shapes(case)


@each
def test_what_is_said_of_symbolic_shapes_holds(case: Case) -> None:
    assert holds_of_symbolic_shapes(case)


@each
def test_what_is_said_without_the_content_of_any_input_holds(case: Case) -> None:
    assert holds(case, [Fact(ElementType.of(a.dtype), a.shape) for a in case.inputs])


@each
def test_an_unknown_rank_is_no_error(case: Case) -> None:
    assert holds_of_unknown_ranks(case)


EXTENTS: list[Dim] = [0, 1, 2, 3, 1 << 40, Expr.symbol("S"), UNKNOWN]
NUMBERS: list[Dim] = [0, 1, -1, 2, 3, 5, 7, -9, 1 << 40, (1 << 63) - 1, -(1 << 63)]


def nonsense(given: Array, dice: random.Random) -> Fact:
    """What stands here, or anything else."""
    dtype = dice.choice([ElementType.of(given.dtype), ElementType.i64, ElementType.f32, ElementType.string])
    count = dice.randrange(5)
    match dice.randrange(6):
        case 0:
            return Fact(dtype)
        case 1:
            return Fact(dtype, tuple(dice.choices(EXTENTS, k=count)))
        case 2:
            return Fact.of_array(np.array(dice.choices(NUMBERS, k=count), np.int64))
        case 3:
            return Fact.of_array(np.array(dice.choice(NUMBERS), np.int64))
        case 4:
            return Fact.of_elements(ElementType.i64, (count,), tuple(dice.choices([*NUMBERS, *EXTENTS[-2:]], k=count)))
    return Fact.of_array(given)


@each
def test_nonsense_is_a_value_error_if_it_is_an_error(case: Case) -> None:
    dice = random.Random(case.name)
    for _ in range(50):
        facts = tuple(nonsense(a, dice) for a in case.inputs)
        with contextlib.suppress(ValueError):
            infer(case.op, facts)


@each
def test_the_runtime_gives_the_same(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    inputs, nodes = [], []
    for i, array in enumerate(case.inputs):
        if i < case.moves:
            dtype = ElementType.of(array.dtype)
            inputs.append(Node(Parameter(dtype, array.shape), (), f"x{i}", names=(f"x{i}",)).output)
            nodes.append(inputs[-1])
        else:
            nodes.append(Node(Const(InMemory(array)), (), f"c{i}").output)
    node = Node(case.op, nodes, "y")
    for i, output in enumerate(node.outputs):
        output.names = (f"y{i}",)
    ir.save(Graph(inputs, node.outputs), tmp_path / "m.xml")
    got = Session(tmp_path / "m.xml").run({f"x{i}": a for i, a in enumerate(case.inputs[: case.moves])})
    for i, array in enumerate(outputs(case)):
        np.testing.assert_array_equal(got[f"y{i}"], array)
        assert got[f"y{i}"].shape == array.shape
