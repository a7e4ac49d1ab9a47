from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import StageError
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.text import parse
from modelbuild.ir.names import layers
from modelbuild.passes.quantize.grafts import Graft, Known, New, Patch, apply

TEXT = """graph(%x: f32[2,4]) {
  %r = Relu(%x) : f32[2,4]
  %y = Exp(%r) : f32[2,4]
  %z = Negative(%r) : f32[2,4]
  return %y, %z
}
"""


def graph() -> Graph:
    return parse(TEXT)


def bound(name: str, number: float) -> Graft:
    return Graft("Constant", name, content=np.array(number, np.float32))


STEPS = (
    bound("low", 0.0),
    bound("high", 3.0),
    Graft("FakeQuantize", "steps", (Known("r", 0), New(0), New(1), New(0), New(1)), levels=4),
)


def test_what_is_rewired_takes_the_graft_and_nothing_else_does() -> None:
    found = graph()
    apply(Patch(STEPS, {("y", 0): New(2)}), found, layers(found))
    x = np.full((2, 4), 1.2, np.float32)
    y, z = evaluate(found, [x])
    np.testing.assert_allclose(y, np.exp(np.float32(1.0)) * np.ones_like(x), rtol=1e-6)
    np.testing.assert_allclose(z, -x)


def test_names_of_what_was_there_stay() -> None:
    found = graph()
    names = [value.names for value in found.outputs]
    apply(Patch(STEPS, {("y", 0): New(2)}), found, layers(found))
    assert [value.names for value in found.outputs] == names
    assert {"x", "r", "y", "z", "steps", "low", "high"} == set(layers(found))


def test_a_graft_that_nothing_takes_leaves_no_trace() -> None:
    found = graph()
    apply(Patch(STEPS, {}), found, layers(found))
    assert set(layers(found)) == {"x", "r", "y", "z"}
    assert len(found.outputs[0].producer.inputs[0].uses) == 2


def test_an_unexpected_graft_is_refused_by_name() -> None:
    found = graph()
    with pytest.raises(StageError, match="odd: a Sine was put in where only Constant, "):
        apply(Patch((Graft("Sine", "odd", (Known("r", 0),)),), {}), found, layers(found))


def test_layers_are_told_apart_as_the_ir_does() -> None:
    found = graph()
    for node in found.nodes():
        if not isinstance(node.op, ops.Relu):
            node.name = "same"
    assert list(layers(found)) == ["same", "r", "same_1", "same_2"]
