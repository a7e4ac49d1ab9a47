"""The contract of the graph."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import BrokenInvariant
from modelbuild.graph import Graph, Node, Op, Value, verify
from modelbuild.graph.copy import copy
from modelbuild.graph.graph import refine
from modelbuild.graph.structure import Const, Parameter
from modelbuild.graph.text import parse, show
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr


class Noise(Op, frozen=True):
    """A random operation of these tests: it could be computed, but not twice the same."""

    pure: ClassVar[bool] = False
    exact: ClassVar[bool] = True

    def infer(self, like: Fact) -> Fact:
        return Fact(like.dtype, like.shape)

    def evaluate(self, like: Array) -> Array:
        return np.random.default_rng().standard_normal(like.shape).astype(like.dtype)


def parameter(name: str, *shape: int | Expr, dtype: ElementType = ElementType.f32) -> Value:
    return Node(Parameter(dtype, shape), (), name, "", (name,)).output


def constant(*numbers: int) -> Value:
    return Node(Const(Fact.of_array(np.array(numbers, np.int64)).value), (), "const").output  # type: ignore[arg-type]


def test_a_node_has_as_many_outputs_as_its_operation_infers() -> None:
    x = parameter("x", 4, 6)
    split = Node(ops.Split(3), (x, Node(Const(Fact.of_array(np.array(1)).value)).output), "split")  # type: ignore[arg-type]
    assert [str(v.fact) for v in split.outputs] == ["f32[4,2]"] * 3
    assert [v.index for v in split.outputs] == [0, 1, 2]
    with pytest.raises(ValueError, match="too many values"):
        _ = split.output


def test_replacing_one_output_leaves_the_others() -> None:
    graph = parse("""graph(%x: f32[4,6]) {
      %axis = Const() {value=[1]} : i64[]
      %a, %b = Split(%x, %axis) {num_splits=2} : f32[4,3], f32[4,3]
      %c = Relu(%a) : f32[4,3]
      %d = Abs(%b) : f32[4,3]
      return %c, %d
    }""")
    split = graph.outputs[0].producer.inputs[0].producer
    a, b = split.outputs
    graph.replace(a, Node(ops.Sigmoid(), (b,), "new").output)
    verify(graph)
    assert list(split.users) == [graph.outputs[1].producer, graph.outputs[0].producer.inputs[0].producer]


def test_sinks_keep_what_no_output_needs() -> None:
    x = parameter("x", 2)
    dead = Node(ops.Relu(), (x,), "dead").output
    kept = Node(ops.Abs(), (x,), "kept")
    graph = Graph([x], [Node(ops.Sigmoid(), (x,), "y").output], [kept])
    assert kept in graph.nodes()
    assert dead.producer not in graph.nodes()
    graph.release(kept)
    assert (kept, 0) in x.uses


def test_release_takes_all_that_only_the_dead_needed() -> None:
    x = parameter("x", 2)
    first = Node(ops.Relu(), (x,), "first").output
    second = Node(ops.Abs(), (first,), "second").output
    graph = Graph([x], [second])
    graph.replace(second, Node(ops.Sigmoid(), (x,), "z", "", ("z",)).output)
    assert first.producer not in graph.nodes()
    assert [user.name for user, _ in x.uses] == ["z"]


def test_a_replacement_is_known_by_both_names() -> None:
    x = parameter("x", 2)
    y = Node(ops.Relu(), (x,), "y", "", ("y",)).output
    z = Node(ops.Abs(), (x,), "z", "", ("z",)).output
    graph = Graph([x], [y])
    graph.replace(y, z)
    assert graph.outputs == [z]
    assert z.names == ("z", "y")


def test_an_input_stays_though_nothing_uses_it() -> None:
    graph = Graph([parameter("x", 2), parameter("unused", 3)], [])
    assert len(graph.nodes()) == 2


def test_a_cycle_is_refused() -> None:
    x = parameter("x", 2)
    a = Node(ops.Relu(), (x,), "a")
    b = Node(ops.Abs(), a.outputs, "b")
    a.inputs = (b.output,)
    with pytest.raises(BrokenInvariant, match="reaches itself"):
        verify(Graph([x], [b.output]))


def test_a_stale_use_is_noticed() -> None:
    x = parameter("x", 2)
    a = Node(ops.Relu(), (x,), "a")
    graph = Graph([x], [a.output])
    x.uses.clear()
    with pytest.raises(BrokenInvariant, match="does not know its use"):
        verify(graph)


def test_iteration_gives_producers_first_and_always_the_same() -> None:
    x = parameter("x", 2)
    left, right = Node(ops.Relu(), (x,), "l").output, Node(ops.Abs(), (x,), "r").output
    graph = Graph([x], [Node(ops.Add(), (left, right), "s").output])
    assert [n.name for n in graph] == ["x", "l", "r", "s"]
    assert [n.name for n in copy(graph)] == ["x", "l", "r", "s"]


def test_shape_arithmetic_is_known_as_dimensions() -> None:
    graph = parse("""graph(%x: f32[B,S,1024]) {
      %shape = ShapeOf(%x) {output_type=i64} : i64[3]
      %first = Const() {value=[0,1]} : i64[2]
      %zero = Const() {value=[0]} : i64[]
      %bs = Gather(%shape, %first, %zero) {batch_dims=0} : i64[2]
      %heads = Const() {value=[16,64]} : i64[2]
      %target = Concat(%bs, %heads) {axis=0} : i64[4]
      %y = Reshape(%x, %target) {special_zero=false} : f32[B,S,16,64]
      return %y
    }""")
    assert str(graph.outputs[0].fact) == "f32[B,S,16,64]"


def test_minus_one_divides_symbols() -> None:
    graph = parse("""graph(%x: f32[B,S,16,64]) {
      %target = Const() {value=[-1,1024]} : i64[2]
      %y = Reshape(%x, %target) {special_zero=false} : f32[B*S,1024]
      return %y
    }""")
    assert str(graph.outputs[0].fact) == "f32[B*S,1024]"


def test_what_is_known_of_an_input_reaches_its_users() -> None:
    graph = parse("""graph(%x: f32[B,3]) {
      %shape = ShapeOf(%x) {output_type=i64} : i64[2]
      %a = Relu(%x) : f32[B,3]
      %b = Abs(%a) : f32[B,3]
      %y = Reshape(%b, %shape) {special_zero=false} : f32[B,3]
      return %y
    }""")
    x = graph.inputs[0]
    x.producer.op = Parameter(ElementType.f32, (8, 3))
    x.fact = x.producer.op.infer()
    changed = refine([x])
    verify(graph)
    assert str(graph.outputs[0].fact) == "f32[8,3]"
    assert {n.name for n in changed} == {"shape", "a", "b", "y"}
    assert graph.outputs[0].producer.inputs[1].fact.ints == (8, 3)


def test_a_random_operation_is_never_computed_here() -> None:
    node = Node(Noise(), (constant(1, 2),), "noise")
    assert node.output.fact.value is None


def test_small_integer_results_are_known_at_once() -> None:
    node = Node(ops.Add(), (constant(1, 2), constant(10, 20)), "sum")
    assert node.output.fact.ints == (11, 22)


def test_inexact_operations_on_reals_are_left_to_the_runtime() -> None:
    half = Node(Const(Fact.of_array(np.float32([0.5])).value), (), "half").output  # type: ignore[arg-type]
    assert Node(ops.Exp(), (half,), "e").output.fact.value is None
    doubled = Node(ops.Add(), (half, half), "d").output.fact.value
    assert doubled is not None
    assert doubled.numpy().tolist() == [1.0]


def test_a_body_is_closed() -> None:
    outside = parameter("outside", 2)
    inner = parameter("p", 2)
    body = Graph([inner], [Node(ops.Add(), (inner, outside), "sum").output])
    with pytest.raises(BrokenInvariant, match=r"not of this graph|is dead"):
        verify_body(body, outside)


def verify_body(body: Graph, outside: Value) -> None:
    """``outside`` reaches into ``body``: from either side that is wrong."""
    x = parameter("x", 2)
    condition = parameter("c", dtype=ElementType.boolean)
    choice = Node(ops.If(body, copy(body), (1,), (1,)), (condition, x), "if")
    verify(Graph([condition, x, outside], [choice.output, Node(ops.Relu(), (outside,), "r").output]))


def test_equal_operations_are_written_as_each_is() -> None:
    for least in ("0.0", "-0.0"):
        text = f"graph g(%x: f32[2]) {{\n  %y = Clamp(%x) {{min={least}, max=6.0}} : f32[2]\n  return %y\n}}\n"
        assert show(parse(text)) == text


def test_text_round_trips_names_origins_sinks_and_layouts() -> None:
    written = """graph "my net"(%x: f32[N<1..8>,3], %"a b": i64[S]) {
  input %x ; layout="[N,C]"
  note "Foo is translated by its definition"
  %y = Relu(%x) : f32[N<1..8>,3] ; layer="layer 1" from="Relu:r"
  %"relu#1" = Abs(%y) : f32[N<1..8>,3]
  %z = Sigmoid(%"relu#1") : f32[N<1..8>,3] ; names=[["z", "zz"]]
  sink %s = Relu(%z) : f32[N<1..8>,3]
  return %z
}
""".replace('"relu#1"', "relu#1")
    graph = parse(written)
    assert show(graph) == written
    assert graph.outputs[0].names == ("z", "zz")
    assert [n.name for n in graph.sinks] == ["s"]
    assert graph.outputs[0].producer.inputs[0].names == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("%y = Nonsense(%x) : f32[2]", "there is no operation Nonsense"),
        ("%y = Relu(%w) : f32[2]", "nothing is called '%w'"),
        ("%y = Relu(%x) : f32[3]", r"written f32\[3\], inferred f32\[2\]"),
        ("%y = Relu(%x) {alpha=1} : f32[2]", "Relu has no attribute alpha; it has none"),
        ("%y = Softmax(%x) {axis=one} : f32[2]", "invalid literal"),
        ("what", "not a node: 'what'"),
    ],
)
def test_wrong_text_says_which_line_and_why(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"line 2: .*{why}"):
        parse(f"graph(%x: f32[2]) {{\n  {line}\n  return %x\n}}\n")
