from __future__ import annotations

from modelbuild.graph import verify
from modelbuild.graph.text import parse
from modelbuild.passes.share import share_equal_nodes
from modelbuild.rewrite import Trace


def kinds(text: str) -> list[str]:
    graph = parse(text)
    share_equal_nodes(graph, Trace())
    verify(graph)
    return [type(node.op).__name__ for node in graph][len(graph.inputs) :]


def test_equal_nodes_of_equal_inputs_are_one() -> None:
    assert kinds("""graph(%x: f32[2,3]) {
      %a = Const() {value=[1,0]} : i64[2]
      %b = Const() {value=[1,0]} : i64[2]
      %p = Transpose(%x, %a) : f32[3,2]
      %q = Transpose(%x, %b) : f32[3,2]
      %y = Add(%p, %q) {auto_broadcast="numpy"} : f32[3,2]
      return %y
    }""") == ["Const", "Transpose", "Add"]


def test_constants_of_another_type_or_shape_stay_apart() -> None:
    assert (
        kinds("""graph(%x: f32[2]) {
      %a = Const() {value=[0,0]} : i64[2]
      %b = Const() {value=[0,0]} : i64[2,1]
      %c = Const() {value=[0.0]} : f32[]
      %d = Const() {value=[0]} : i32[]
      return %a, %b, %c, %d
    }""")
        == ["Const"] * 4
    )


def test_random_nodes_are_never_one() -> None:
    assert (
        kinds("""graph(%x: f32[2]) {
      %s = Const() {value=[2]} : i64[1]
      %l = Const() {value=[0.0]} : f32[]
      %h = Const() {value=[1.0]} : f32[]
      %a = RandomUniform(%s, %l, %h) {output_type=f32, global_seed=0, op_seed=0, alignment="tensorflow"} : f32[2]
      %b = RandomUniform(%s, %l, %h) {output_type=f32, global_seed=0, op_seed=0, alignment="tensorflow"} : f32[2]
      %y = Subtract(%a, %b) {auto_broadcast="numpy"} : f32[2]
      return %y
    }""").count("RandomUniform")
        == 2
    )


def test_two_outputs_of_the_graph_stay_two() -> None:
    assert kinds("""graph(%x: f32[2]) {
      %a = Relu(%x) : f32[2]
      %b = Relu(%x) : f32[2]
      return %a, %b
    }""") == ["Relu", "Relu"]
