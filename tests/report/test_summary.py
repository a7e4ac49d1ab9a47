from __future__ import annotations

import msgspec

from modelbuild.graph.text import parse
from modelbuild.report.counting import summarize
from modelbuild.report.summary import Port, Summary

GRAPH = """graph(%x: f32[N,3], %on: boolean[]) {
  input %x ; layout="[N,C]"
  %w = Const() {value=[1.0,2.0,3.0,4.0,5.0,6.0]} : f32[3,2]
  %q = Const() {value=[7]} : i8[1]
  %axis = Const() {value=[1,2,3]} : i64[3]
  %y = MatMul(%x, %w) {transpose_a=false, transpose_b=false} : f32[N,2]
  %r = Relu(%y) : f32[N,2]
  return %r, %q, %axis
}
"""


def test_a_summary_counts_what_a_graph_holds() -> None:
    summary = summarize(parse(GRAPH))
    assert summary.inputs == (Port("x", "f32", "[N,3]", "[N,C]"), Port("on", "boolean", "[]"))
    assert summary.outputs[0] == Port("r", "f32", "[N,2]")
    assert summary.operators == {"MatMul": 1, "ReLU": 1}
    assert (summary.layers, summary.macs, summary.macs_assume) == (2, 6, ("N",))
    assert summary.weight_bytes == {"f32": 24, "i64": 24, "i8": 1}


def test_wide_integers_are_no_parameters() -> None:
    assert summarize(parse(GRAPH)).parameters == 6 + 1


def test_operators_in_bodies_count() -> None:
    choice = """graph(%c: boolean[], %x: f32[2]) {
  %z = If(%c, %x) {then_inputs=[1], else_inputs=[1]} : f32[2]
    body(%p: f32[2]) {
      %a = Relu(%p) : f32[2]
      return %a
    }
    body(%p: f32[2]) {
      %a = Abs(%p) : f32[2]
      return %a
    }
  return %z
}
"""
    assert summarize(parse(choice)).operators == {"Abs": 1, "If": 1, "ReLU": 1}


def test_a_summary_survives_json() -> None:
    summary = summarize(parse(GRAPH))
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary
