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


def test_the_bias_and_the_scale_of_quantized_weights_stay() -> None:
    graph = parse("""graph(%x: f32[1,3]) {
      %w = Const() {value=[1,2,3,4,5,6]} : i8[2,3]
      %f = Convert(%w) {destination_type=f32, decompression=false} : f32[2,3]
      %s = Const() {value=[0.1,0.3]} : f32[2,1]
      %d = Multiply(%f, %s) {auto_broadcast="numpy"} : f32[2,3]
      %p = MatMul(%x, %d) {transpose_a=false, transpose_b=true} : f32[1,2]
      %b = Const() {value=[0.7,0.9]} : f32[2]
      %y = Add(%p, %b) {auto_broadcast="numpy"} : f32[1,2]
      return %y
    }""")
    assert compress_to_fp16(graph, Trace()) == 0
