"""Which constants are stored as f16."""

from __future__ import annotations

import pytest

from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse
from modelbuild.passes.compress.half import compress_to_fp16
from modelbuild.rewrite import Trace
from modelbuild.tensor.dtype import ElementType


def stored(operation: str, number: str) -> set[ElementType]:
    """The types of the constants of a graph that applies an operation to its input and this number."""
    graph = parse(f"""graph(%x: f32[4]) {{
      %c = Const() {{value=[{number}]}} : f32[]
      %y = {operation}(%x, %c) : {"boolean" if operation == "Greater" else "f32"}[4]
      return %y
    }}""")
    compress_to_fp16(graph, Trace())
    return {node.op.value.dtype for node in graph.nodes() if isinstance(node.op, Const)}


def test_a_weight_is_stored_as_f16() -> None:
    assert stored("Multiply", "0.3") == {ElementType.f16}


@pytest.mark.parametrize("number", ["1e-06", "1e-12", "70000.0"])
def test_what_f16_cannot_hold_stays(number: str) -> None:
    assert stored("Add", number) == {ElementType.f32}


@pytest.mark.parametrize("operation", ["Greater", "Power"])
def test_a_threshold_and_an_exponent_stay(operation: str) -> None:
    assert stored(operation, "0.3") == {ElementType.f32}
