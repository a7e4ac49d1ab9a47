"""What stays as it is when activations are quantised."""

from __future__ import annotations

import pytest

from modelbuild.graph.text import parse
from modelbuild.passes.quantize.exempt import exempt
from modelbuild.targets import Keep, Precision

SPECTRUM = """graph(%x: f32[1,8]) {{
  %w = Const() {{value=random}} : f32[8,4]
  %v = Const() {{value=random}} : f32[8,4]
  %real = MatMul(%x, %w) {{transpose_a=false, transpose_b=false}} : f32[1,4] ; layer="real"
  %imag = MatMul(%x, %v) {{transpose_a=false, transpose_b=false}} : f32[1,4] ; layer="imag"
  %a = Multiply(%real, %real) : f32[1,4] ; layer="a"
  %b = Multiply(%imag, %imag) : f32[1,4] ; layer="b"
  %sum = Add(%a, %b) : f32[1,4] ; layer="sum"
  %root = Sqrt(%sum) : f32[1,4] ; layer="root"
  {more}
  %u = Const() {{value=random}} : f32[4,2]
  %y = MatMul(%{into}, %u) {{transpose_a=false, transpose_b=false}} : f32[1,2] ; layer="last"
  return %y
}}"""
LOUDNESS = {"real", "imag", "a", "b", "sum", "root"}

LSTM = """graph(%x: f32[1,3,4], %h: f32[1,1,2], %c: f32[1,1,2]) {
  %n = Const() {value=[3]} : i64[1]
  %w = Const() {value=random} : f32[1,8,4]
  %r = Const() {value=random} : f32[1,8,2]
  %b = Const() {value=random} : f32[1,8]
  %y, %hn, %cn = LSTMSequence(%x, %h, %c, %n, %w, %r, %b) {hidden_size=2, activations=["sigmoid", "tanh", "tanh"]} \
: f32[1,1,3,2], f32[1,1,2], f32[1,1,2] ; layer="layer"
  return %y
}"""


def names(text: str, *rules: Keep) -> set[str]:
    return {node.name for node in exempt(parse(text), rules)}


def test_the_loudness_of_a_spectrum_is_exempt_back_to_its_products() -> None:
    assert names(SPECTRUM.format(more="", into="root")) == LOUDNESS


def test_a_root_that_only_divides_is_quantised_like_the_rest() -> None:
    more = "%norm = Divide(%real, %root) : f32[1,4]"
    assert names(SPECTRUM.format(more=more, into="norm")) == set()


def test_what_goes_into_a_logarithm_is_exempt() -> None:
    more = "%log = Log(%sum) : f32[1,4]"
    assert names(SPECTRUM.format(more=more, into="log")) >= LOUDNESS - {"root"}


def test_recurrent_layers_are_exempt() -> None:
    assert names(LSTM) == {"layer"}


@pytest.mark.parametrize(("precision", "kept"), [(Precision.FP16, {"last"}), (Precision.INT8, set())])
def test_a_rule_exempts_what_it_holds_above_eight_bits(precision: Precision, kept: set[str]) -> None:
    more = "%norm = Divide(%real, %root) : f32[1,4]"
    assert names(SPECTRUM.format(more=more, into="norm"), Keep("last", (), precision)) == kept
