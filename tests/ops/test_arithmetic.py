"""What holds for every operation that computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arithmetic import CASES
from moves import Case
from test_moves import fits, inferred, outputs, symbolic

from modelbuild import ir
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.storage import InMemory

each = pytest.mark.parametrize("case", CASES, ids=str)


@each
def test_static_shapes_are_those_of_the_result(case: Case) -> None:
    facts = [
        Fact(ElementType.of(a.dtype), a.shape) if i < case.moves else Fact.of_array(a)
        for i, a in enumerate(case.inputs)
    ]
    for fact, array in zip(inferred(case, facts), outputs(case), strict=True):
        assert fits(fact, array, {})
        assert fact.shape is not None


@each
def test_what_is_said_of_symbolic_shapes_holds(case: Case) -> None:
    facts = [symbolic(a, i) if i < case.moves else Fact.of_array(a) for i, a in enumerate(case.inputs)]
    symbols = {f"S{i}_{axis}": n for i, a in enumerate(case.inputs) for axis, n in enumerate(a.shape)}
    for fact, array in zip(inferred(case, facts), outputs(case), strict=True):
        assert fits(fact, array, symbols)


@each
def test_an_unknown_rank_is_no_error(case: Case) -> None:
    facts = [Fact(ElementType.of(a.dtype)) if i < case.moves else Fact.of_array(a) for i, a in enumerate(case.inputs)]
    for fact, array in zip(inferred(case, facts), outputs(case), strict=True):
        assert fits(fact, array, {})


def test_the_runtime_gives_the_same(tmp_path: Path) -> None:
    """All in one model: compiling is what takes the time."""
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    inputs: list[Value] = []
    results: list[Value] = []
    for case in CASES:
        values = []
        for i, array in enumerate(case.inputs):
            name = f"{case.name}:{i}"
            if i < case.moves:
                given = Parameter(ElementType.of(array.dtype), array.shape)
                values.append(Node(given, (), name, names=(name,)).output)
                inputs.append(values[-1])
            else:
                values.append(Node(Const(InMemory(array)), (), name).output)
        node = Node(case.op, values, case.name)
        for i, output in enumerate(node.outputs):
            output.names = (f"{case.name}.{i}",)
        results += node.outputs
    ir.save(Graph(inputs, results), tmp_path / "m.xml")
    feeds = {f"{case.name}:{i}": a for case in CASES for i, a in enumerate(case.inputs[: case.moves])}
    got = Session(tmp_path / "m.xml").run(feeds)
    differing = [
        f"{case}.{i}: {array.reshape(-1)[:6]}, run {found.reshape(-1)[:6]}"
        for case in CASES
        for i, array in enumerate(outputs(case))
        if (found := got[f"{case}.{i}"]).shape != array.shape
        or not np.allclose(found, array, rtol=1e-4, atol=1e-5, equal_nan=True)
    ]
    assert not differing
