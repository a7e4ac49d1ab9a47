"""Which constants are stored as f16."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.graph import Graph
from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse
from modelbuild.passes.compress.half import compress_to_bf16, compress_to_fp16
from modelbuild.rewrite import Trace
from modelbuild.tensor.derived import Reshaped, Scaled
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import InMemory


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


def added(numbers: list[float], operation: str = "Add") -> Graph:
    """A graph that applies an operation to its input and ten thousand numbers, most of them one."""
    graph = parse(f"""graph(%x: f32[10000]) {{
      %c = Const() {{value=[1.0]}} : f32[10000]
      %y = {operation}(%x, %c) {{auto_broadcast="numpy"}} : f32[10000]
      return %y
    }}""")
    (node,) = (n for n in graph.nodes() if isinstance(n.op, Const))
    content = np.ones(10000, np.float32)
    content[: len(numbers)] = numbers
    node.op = Const(InMemory(content))
    return graph


def test_one_number_beyond_f16_keeps_a_large_constant_and_is_noted() -> None:
    graph = added([7e4, -8e4])
    assert compress_to_fp16(graph, Trace()) == 0
    assert graph.notes == ["what f16 cannot hold stays as it is: c goes up to 80000"]


@pytest.mark.parametrize(
    ("numbers", "factors", "made"), [([4e4, 1], [1, 9], 1), ([4e4, 1], [2, 1], 0), ([1, 1], [1e-6, 1e-7], 0)]
)
def test_of_what_is_scaled_the_products_count(numbers: list[float], factors: list[float], made: int) -> None:
    graph = added([])
    (node,) = (n for n in graph.nodes() if isinstance(n.op, Const))
    rows = InMemory(np.repeat(np.array(numbers, np.float32), 5000).reshape(2, 5000))
    node.op = Const(Reshaped(Scaled(rows, InMemory(np.array(factors, np.float32)), 0), (10000,)))
    assert compress_to_fp16(graph, Trace()) == made


def test_infinities_are_no_number_beyond_f16() -> None:
    graph = added([np.inf, -np.inf, np.nan])
    assert compress_to_fp16(graph, Trace()) == 1


def test_a_constant_of_small_numbers_only_keeps_its_digits() -> None:
    graph = added([1e-6] * 10000)
    assert compress_to_fp16(graph, Trace()) == 0
    assert graph.notes == ["what f16 cannot hold stays as it is: c goes no further than 1e-06"]


@pytest.mark.parametrize(("operation", "made"), [("Add", 1), ("Divide", 0)])
def test_a_divisor_does_not_become_zero(operation: str, made: int) -> None:
    assert compress_to_fp16(added([1e-9], operation), Trace()) == made


SINES = """graph(%x: f32[4,1]) {
  %c = Const() {value=random} : f32[1,16]
  %p = MatMul(%x, %c) {transpose_a=false, transpose_b=false} : f32[4,16]
  %y = Sin(%p) : f32[4,16]
  return %y
}"""


def test_what_angles_are_computed_from_keeps_its_digits() -> None:
    trace = Trace()
    assert compress_to_fp16(parse(SINES), trace) == 0
    assert str(trace) == "compress_to_fp16 c: it is an angle"


def test_large_weights_before_sines_are_weights() -> None:
    assert compress_to_fp16(parse(SINES.replace("16", "6000")), Trace()) == 1


def test_bf16_is_for_matrices() -> None:
    graph = parse("""graph(%x: f32[1,32]) {
      %w = Const() {value=random} : f32[32,32]
      %p = MatMul(%x, %w) {transpose_a=false, transpose_b=false} : f32[1,32]
      %b = Const() {value=random} : f32[1,32]
      %y = Add(%p, %b) {auto_broadcast="numpy"} : f32[1,32]
      return %y
    }""")
    assert compress_to_bf16(graph, Trace()) == 1
    stored = {n.name: n.op.value.dtype for n in graph.nodes() if isinstance(n.op, Const)}
    assert stored == {"w_compressed": ElementType.bf16, "b": ElementType.f32}
