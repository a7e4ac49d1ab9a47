from __future__ import annotations

from modelbuild.graph import verify
from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse
from modelbuild.passes.compress.indices import narrow_indices
from modelbuild.rewrite import Trace


def lists(text: str) -> dict[str, list[int]]:
    """The constants of a graph by their type, after narrowing."""
    graph = parse(text)
    narrow_indices(graph, Trace())
    verify(graph)
    found: dict[str, list[int]] = {}
    for node in graph:
        if isinstance(node.op, Const):
            found.setdefault(str(node.op.value.dtype), []).extend(node.op.value.numpy().reshape(-1).tolist())
    return found


SLICE = """graph(%x: f32[5,5], %i: i64[1]) {{
  %begin = Const() {{value=[1]}} : i64[1]
  %end = Const() {{value=[9223372036854775807]}} : i64[1]
  %step = Const() {{value=[2]}} : i64[1]
  %axes = Const() {{value=[-1]}} : i64[1]
  %y = Slice(%x, {begin}, %end, %step, %axes) : f32[5,{extent}]
  return %y
}}"""


def test_positions_become_i32_and_the_end_stays_the_end() -> None:
    assert lists(SLICE.format(begin="%begin", extent=2)) == {"i32": [1, 2**31 - 1, 2, -1]}


def test_a_list_beside_one_of_the_run_keeps_its_type() -> None:
    assert lists(SLICE.format(begin="%i", extent="?")) == {"i64": [2**63 - 1, 2, -1]}


def test_a_constant_that_is_also_data_stays_for_the_data() -> None:
    assert lists("""graph(%x: f32[2,3], %n: i64[2]) {
      %order = Const() {value=[1,0]} : i64[2]
      %y = Transpose(%x, %order) : f32[3,2]
      %z = Add(%n, %order) {auto_broadcast="numpy"} : i64[2]
      return %y, %z
    }""") == {"i32": [1, 0], "i64": [1, 0]}
