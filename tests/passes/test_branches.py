from __future__ import annotations

from modelbuild.graph import Graph, verify
from modelbuild.graph.text import parse
from modelbuild.passes.normalize.branches import NAME, take_only_possible_branches
from modelbuild.passes.pipeline import NORMALIZE
from modelbuild.rewrite import Trace, apply

SQUEEZE_IF_ONE = """graph(%x: f32[N,8,T]) {{
  %c = Const() {{value=[-1]}} : i64[1]
  %shape = ShapeOf(%x) {{output_type=i64}} : i64[3]
  %zero = Const() {{value=[0]}} : i64[]
  %last = Gather(%shape, %c, %zero) {{batch_dims=0}} : i64[1]
  %one = Const() {{value=[1]}} : i64[1]
  %is_one = Equal(%last, %one) {{auto_broadcast="numpy"}} : boolean[1]
  %y = If(%is_one, %x) {{then_inputs=[1], else_inputs=[1]}} : f32[...]
    body(%p: f32[N,8,T]) {{
      %axis = Const() {{value=[-1]}} : i64[1]
      %s = Squeeze(%p, %axis) : f32[N,8]
      return %s
    }}
    body(%q: f32[N,8,T]) {{
      return %q
    }}
{rest}
}}"""


def settle(text: str) -> tuple[Graph, Trace]:
    graph, trace = parse(text), Trace()
    apply(NORMALIZE, graph, trace)
    take_only_possible_branches(graph, NORMALIZE, trace)
    verify(graph)
    return graph, trace


def test_the_branch_that_the_rest_cannot_take_is_dropped() -> None:
    """A transposition of two axes leaves only the squeezed branch."""
    graph, trace = settle(
        SQUEEZE_IF_ONE.format(
            rest="""  %order = Const() {value=[1,0]} : i64[2]
  %z = Transpose(%y, %order) : f32[?,?]
  return %z"""
        )
    )
    assert [type(n.op).__name__ for n in graph][-2:] == ["Const", "Transpose"]
    assert str(graph.outputs[0].fact) == "f32[8,N]"
    assert trace.count(NAME) == 1


def test_where_both_branches_fit_the_choice_stays_and_says_so() -> None:
    graph, trace = settle(SQUEEZE_IF_ONE.format(rest="  %z = Relu(%y) : f32[...]\n  return %z"))
    assert "If" in [type(n.op).__name__ for n in graph]
    assert trace.events[NAME, "y"].why == "both branches leave a graph that can run"
