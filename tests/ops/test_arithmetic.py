"""What holds for every operation that computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arithmetic import CASES
from moves import Case
from truth import holds_of_static_shapes, holds_of_symbolic_shapes, holds_of_unknown_ranks, outputs

from modelbuild import ir
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import InMemory

each = pytest.mark.parametrize("case", CASES, ids=str)


@each
def test_static_shapes_are_those_of_the_result(case: Case) -> None:
    assert holds_of_static_shapes(case)


@each
def test_what_is_said_of_symbolic_shapes_holds(case: Case) -> None:
    assert holds_of_symbolic_shapes(case)


@each
def test_an_unknown_rank_is_no_error(case: Case) -> None:
    assert holds_of_unknown_ranks(case)


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
