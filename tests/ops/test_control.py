"""If, Loop and TensorIterator: what is known of their results, and what these are."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph import Graph, Node
from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.text import TextError, parse, show
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN

CHOICE = """\
graph g(%c: boolean[], %x: f32[2,3]) {{
  {condition}
  %y = If({taken}, %x) {{then_inputs=[1], else_inputs=[1]}} : {fact}
    body(%p: f32[2,3]) {{
      %axes = Const() {{value=[0]}} : i64[1]
      %a = ReduceSum(%p, %axes) {{keep_dims=true}} : f32[1,3]
      return %a
    }}
    body(%q: f32[2,3]) {{
      %b = Abs(%q) : f32[2,3]
      return %b
    }}
  return %y
}}
"""
FALSE = "%k = Const() {value=[false]} : boolean[]"

LOOP = """\
graph g(%n: i64[], %c: boolean[], %x: f32[{initial}]) {{
  %last, %all = Loop(%n, %c, %x) {{inputs=[Iteration(), Merged(port=2, result=1)], outputs=[{outputs}]}} : {facts}
    body(%i: i64[], %state: f32[{state}]) {{
      %limit = Const() {{value=[{limit}]}} : i64[]
      %go = Less(%i, %limit) {{auto_broadcast="numpy"}} : boolean[]
      %next = Add(%state, %state) {{auto_broadcast="numpy"}} : f32[{state}]
      return %go, %next
    }}
  return %last, %all
}}
"""
OUTPUTS = "Last(result=1), Stacked(result=1, axis=0)"

SUMS = """\
graph g(%x: f32[{time},2], %zero: f32[1,2]) {{
  %last, %sums = TensorIterator(%x, %zero) {{inputs=[{part}, Merged(port=1, result=0)], outputs=[{outputs}]}} : {facts}
    body(%row: f32[1,2], %sum: f32[1,2]) {{
      %next = Add(%row, %sum) {{auto_broadcast="numpy"}} : f32[1,2]
      return %next
    }}
  return %last, %sums
}}
"""


def loop(initial: str = "1,2", state: str = "1,2", limit: int = 99, facts: str = "f32[1,2], f32[?,2]") -> Graph:
    return parse(LOOP.format(initial=initial, state=state, limit=limit, facts=facts, outputs=OUTPUTS))


def sums(part: str, outputs: str, *, time: str = "4", facts: str = "f32[1,2], f32[4,2]") -> Graph:
    return parse(SUMS.format(part=part, outputs=outputs, time=time, facts=facts))


def test_a_known_condition_gives_the_facts_of_its_branch() -> None:
    graph = parse(CHOICE.format(condition=FALSE, taken="%k", fact="f32[2,3]"))
    assert graph.outputs[0].fact.shape == (2, 3)


def test_an_unknown_condition_gives_what_the_branches_have_in_common() -> None:
    graph = parse(CHOICE.format(condition="", taken="%c", fact="f32[?,3]"))
    assert graph.outputs[0].fact.shape == (UNKNOWN, 3)


@pytest.mark.parametrize(("condition", "shape"), [(True, (1, 3)), (False, (2, 3))])
def test_the_condition_chooses_the_branch(condition: bool, shape: tuple[int, ...]) -> None:
    graph = parse(CHOICE.format(condition="", taken="%c", fact="f32[?,3]"))
    (made,) = evaluate(graph, [np.array(condition), -np.ones((2, 3), np.float32)])
    assert made.shape == shape


def test_branches_with_different_numbers_of_outputs_are_refused() -> None:
    then = parse("graph g(%x: f32[2]) {\n return %x\n}")
    with pytest.raises(ValueError, match="one branch has 1 outputs, the other 0"):
        ops.If(then, Graph(), (1,), ()).infer(Fact(ElementType.boolean, ()), Fact(ElementType.f32, (2,)))


def test_a_capture_that_cannot_be_its_parameter_is_refused() -> None:
    body = parse("graph g(%x: f32[2]) {\n return %x\n}")
    with pytest.raises(ValueError, match="parameter x of the body is f32"):
        ops.If(body, body, (1,), (1,)).infer(Fact(ElementType.boolean, ()), Fact(ElementType.i64, (2,)))


def test_the_text_form_of_a_choice_reads_back() -> None:
    text = show(parse(CHOICE.format(condition="", taken="%c", fact="f32[?,3]")))
    assert show(parse(text)) == text


def test_a_loop_runs_as_often_as_it_is_told() -> None:
    last, every = evaluate(loop(), [np.array(3), np.array(True), np.ones((1, 2), np.float32)])
    np.testing.assert_array_equal(last, [[8, 8]])
    np.testing.assert_array_equal(every, [[2, 2], [4, 4], [8, 8]])


def test_a_loop_stops_when_its_condition_fails() -> None:
    last, every = evaluate(loop(limit=1), [np.array(-1), np.array(True), np.ones((1, 2), np.float32)])
    np.testing.assert_array_equal(last, [[4, 4]])
    assert every.shape == (2, 2)


@pytest.mark.parametrize(("trips", "going"), [(0, True), (5, False)])
def test_a_loop_that_does_not_run_gives_its_initial_values(trips: int, going: bool) -> None:
    last, every = evaluate(loop(), [np.array(trips), np.array(going), np.ones((1, 2), np.float32)])
    np.testing.assert_array_equal(last, [[1, 1]])
    assert every.shape == (0, 2)


def test_a_shape_that_the_loop_may_not_change_is_what_was_given_or_made() -> None:
    graph = loop(initial="3,2", state="?,2", facts="f32[?,2], f32[?,2]")
    assert graph.outputs[0].fact.shape == (UNKNOWN, 2)


def test_a_known_trip_count_says_how_much_is_stacked() -> None:
    body = parse(
        "graph g(%x: f32[1,2]) {\n %go = Const() {value=[true]} : boolean[]\n %y = Abs(%x) : f32[1,2]\n"
        " return %go, %y\n}"
    )
    op = ops.Loop(body, (ops.Merged(2, 1),), (ops.Stacked(1, axis=0),))
    facts = [Fact.of_array(np.array(7)), Fact.of_array(np.array(True)), Fact(ElementType.f32, (1, 2))]
    assert op.infer(*facts)[0].shape == (7, 2)


def test_an_iterator_goes_through_the_parts_of_its_input() -> None:
    graph = sums("Sliced(port=0, axis=0)", "Last(result=0), Stacked(result=0, axis=0)")
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    last, every = evaluate(graph, [x, np.zeros((1, 2), np.float32)])
    np.testing.assert_array_equal(every, x.cumsum(0))
    np.testing.assert_array_equal(last, x.sum(0, keepdims=True))


def test_a_negative_stride_goes_backwards() -> None:
    backwards = "axis=0, start=-1, end=0, stride=-1"
    graph = sums(f"Sliced(port=0, {backwards})", f"Last(result=0), Stacked(result=0, {backwards})")
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    _, every = evaluate(graph, [x, np.zeros((1, 2), np.float32)])
    np.testing.assert_array_equal(every, x[::-1].cumsum(0)[::-1])


def test_parts_of_an_unknown_extent_stack_to_it_again() -> None:
    graph = sums(
        "Sliced(port=0, axis=0)", "Last(result=0), Stacked(result=0, axis=0)", time="T", facts="f32[1,2], f32[T,2]"
    )
    assert str(graph.outputs[1].fact) == "f32[T,2]"


def test_inputs_with_different_numbers_of_parts_are_refused() -> None:
    body = parse("graph g(%a: f32[1], %b: f32[1]) {\n return %a\n}")
    op = ops.TensorIterator(body, (ops.Sliced(0, axis=0), ops.Sliced(1, axis=0)), (ops.Stacked(0, axis=0),))
    with pytest.raises(ValueError, match="3 and 4 parts"):
        op.infer(Fact(ElementType.f32, (3,)), Fact(ElementType.f32, (4,)))


def test_an_output_of_a_loop_that_names_no_axis_is_refused() -> None:
    with pytest.raises(TextError, match="no axis 2"):
        sums("Sliced(port=0, axis=2)", "Last(result=0), Stacked(result=0, axis=0)")


def test_other_bodies_make_another_choice() -> None:
    body = parse("graph g(%x: f32[2]) {\n return %x\n}")
    other = parse("graph g(%x: f32[2]) {\n %y = Abs(%x) : f32[2]\n return %y\n}")
    op = ops.If(body, body, (1,), (1,)).with_bodies(other, body)
    condition = Node(ops.Parameter(ElementType.boolean, ())).output
    x = Node(ops.Parameter(ElementType.f32, (2,))).output
    node = Node(op, [condition, x])
    graph = Graph([condition, x], node.outputs)
    (made,) = evaluate(graph, [np.array(True), np.array([-1, 1], np.float32)])
    np.testing.assert_array_equal(made, [1, 1])
