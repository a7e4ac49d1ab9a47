"""What a device or release does not take is said otherwise, or listed."""

from __future__ import annotations

import pytest

from modelbuild.errors import BuildError, UsageError
from modelbuild.graph import Graph
from modelbuild.graph.structure import Parameter
from modelbuild.graph.text import parse
from modelbuild.passes.fit import Refusal, fit, fits, refused
from modelbuild.rewrite import Trace
from modelbuild.targets import Limit, Limits, Profile, Target

CONVOLVED = """graph(%x: f32[1,4,16,16]) {
  %w = Const() {value=[WEIGHTS]} : f32[6,4,1,1]
  %y = Convolution(%x, %w) {strides=[1,1], dilations=[1,1], pads_begin=[0,0], pads_end=[0,0], auto_pad=explicit} : f32[1,6,16,16]
  return %y
}""".replace("WEIGHTS", ",".join(["1.0"] * 24))  # fmt: skip  # noqa: E501


def told(text: str, limits: Limits) -> list[str]:
    return list(map(str, refused(parse(text), limits, Trace())))


def unary(operator: str, shape: str = "2,3", attributes: str = "") -> str:
    return f"graph(%x: f32[{shape}]) {{\n  %y = {operator}(%x) {attributes}: f32[{shape}]\n  return %y\n}}"


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes()]


def on(**known: object) -> Limits:
    return Limits(device="XPU", members=(Profile(name="XPU", **known),))  # type: ignore[arg-type]


def test_a_device_that_takes_everything_changes_nothing() -> None:
    graph = parse(unary("Mish"))
    fit(graph, Limits(device="CPU"), Trace())
    assert kinds(graph) == ["Parameter", "Mish"]


def test_a_graph_fits_that_is_neither_refused_nor_said_otherwise() -> None:
    limits = on(lacks={"SoftSign": "there is none"}, limits=(Limit(measure="rank", at_most=2),))
    assert fits(parse(unary("Mish")), limits)
    assert not fits(parse(unary("SoftSign")), limits)
    assert not fits(parse(unary("Mish", "2,3,4")), limits)
    assert not fits(parse(unary("Mish", "N,3")), Limits(static_shapes=True))


def test_what_a_device_lacks_is_said_otherwise() -> None:
    graph = parse(unary("SoftSign"))
    fit(graph, on(lacks={"SoftSign": "there is none"}), Trace())
    assert kinds(graph) == ["Parameter", "Abs", "Const", "Add", "Divide"]


def test_what_cannot_be_said_otherwise_is_refused_with_the_reason() -> None:
    assert told(unary("Erf"), on(lacks={"Erf": "there is no table"})) == ["Erf 'y': there is no table"]


def test_what_a_device_does_not_list_is_refused() -> None:
    assert told(unary("Erf"), on(takes=("Add",))) == ["Erf 'y': Erf is none of the operators that it takes"]


def test_limits_are_told_with_what_was_found() -> None:
    limit = Limit(measure="output_channels", operators=("Convolution",), multiple_of=4)
    assert told(CONVOLVED, on(limits=(limit,))) == ["Convolution 'y': output channels: 6, a multiple of 4 is needed"]


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (Limit(measure="batch", at_least=2), "input x: a batch of 1, at least 2 must be"),
        (Limit(measure="rank", at_most=3), "input x: axes: 4, at most 3 can be"),
        (Limit(measure="spatial_axes", at_most=1), "Convolution 'y': spatial axes: 2, at most 1 can be"),
        (Limit(measure="dilation", at_most=0), "Convolution 'y': a dilation of 1, at most 0 can be"),
    ],
)
def test_a_measure_outside_its_limit_is_refused(limit: Limit, why: str) -> None:
    assert why in told(CONVOLVED, on(limits=(limit,)))


def test_a_bounded_dimension_is_refused_only_if_it_must_exceed() -> None:
    limit = Limit(measure="batch", at_most=8)
    assert told(unary("Erf", "B,3"), on(limits=(limit,))) == []


@pytest.mark.parametrize(("order", "refusals"), [("0,2,1", 1), ("1,0,2", 0)])
def test_only_exchanges_of_two_large_axes_are_refused(order: str, refusals: int) -> None:
    text = f"""graph(%x: f32[1,16,32]) {{
      %o = Const() {{value=[{order}]}} : i64[3]
      %y = Transpose(%x, %o) : f32[{",".join([["1", "16", "32"][int(i)] for i in order.split(",")])}]
      return %y
    }}"""
    found = told(text, on(limits=(Limit(measure="exchanged", operators=("Transpose",), at_most=8),)))
    assert len(found) == refusals


def test_types_are_refused_where_they_come_in_and_where_they_go_out() -> None:
    text = "graph(%x: i64[2]) {\n  %y = Convert(%x) {destination_type=f16} : f16[2]\n  return %y\n}"
    assert told(text, on(input_types=("f32",), output_types=("f32",))) == [
        "input x: i64 is no type that it takes as an input (it takes f32)",
        "Convert 'y': f16 is no type that it takes as an output (it takes f32)",
    ]


def test_a_layout_that_is_not_known_to_a_device_is_refused() -> None:
    graph = parse(unary("Erf"))
    (x,) = graph.inputs
    x.producer.op = Parameter(x.fact.dtype, x.fact.shape, layout="[H,W]")
    (found,) = refused(graph, on(layouts=("NC",)), Trace())
    assert found.why == "HW is no layout that it takes (it takes NC)"


def test_a_team_that_shares_takes_what_one_of_them_takes() -> None:
    picky, plain = Profile(name="XPU", takes=("Add",)), Profile(name="CPU")
    assert told(unary("Erf"), Limits(device="HETERO:XPU,CPU", members=(picky, plain))) == []
    assert told(unary("Erf"), Limits(device="AUTO:XPU,CPU", members=(picky, plain))) == [
        "Erf 'y': Erf is none of the operators that it takes (device XPU)"
    ]


def test_all_is_told_at_once_with_what_would_help() -> None:
    picky = Profile(name="XPU", takes=("Add",), fallback="CPU")
    limits = Limits(device="XPU", static_shapes=True, runtime="2023.0", members=(picky,))
    with pytest.raises(
        BuildError, match=r"XPU of release 2023.0 does not take the model: input x.*, and 1 more"
    ) as caught:
        fit(parse(unary("Erf", "N,3")), limits, Trace())
    assert caught.value.notes == [
        "Erf 'y': Erf is none of the operators that it takes",
        "what helps: give a shape to the input(s) x",
        "what helps: device: HETERO:XPU,CPU, or another target, or 'exclude' this one",
    ]


def test_an_operation_that_an_older_release_does_not_read_is_said_otherwise() -> None:
    graph = parse(unary("SoftSign"))
    fit(graph, Target.of("t", "CPU", runtime="2022.1").limits(), Trace())
    assert "SoftSign" not in kinds(graph)


def test_an_operation_that_an_older_release_cannot_be_told_is_refused() -> None:
    text = unary("FakeConvert", attributes="{destination_type=f8e4m3} ").replace("(%x)", "(%x, %s)").replace(
        "f32[2,3]) {", "f32[2,3], %s: f32[1]) {"
    )  # fmt: skip
    (found,) = refused(parse(text), Target.of("t", "CPU", runtime="2023.0").limits(), Trace())
    assert found == Refusal(
        "FakeConvert 'y'", "FakeConvert of opset13 is read since 2023.3", "runtime: 2023.3, or newer"
    )


def test_bodies_are_looked_into() -> None:
    text = """graph(%c: boolean[], %x: f32[2]) {
  %y = If(%c, %x) {then_inputs=[1], else_inputs=[1]} : f32[2]
    body(%p: f32[2]) {
      %a = Erf(%p) : f32[2]
      return %a
    }
    body(%q: f32[2]) {
      %b = Relu(%q) : f32[2]
      return %b
    }
  return %y
}"""
    assert told(text, on(lacks={"Erf": "there is none"})) == ["Erf 'a': there is none"]


def test_what_computes_with_shapes_is_not_refused_if_shapes_come() -> None:
    text = """graph(%x: f32[N,3]) {
      %s = ShapeOf(%x) {output_type=i64} : i64[2]
      %y = Reshape(%x, %s) {special_zero=false} : f32[N,3]
      return %y
    }"""
    picky = Profile(name="XPU", takes=("Reshape",))
    assert told(text, Limits(device="XPU", static_shapes=True, members=(picky,))) == [
        "input x: its shape [N,3] is open, static ones are needed"
    ]


def test_a_shape_that_follows_from_content_asks_for_another_output() -> None:
    text = """graph(%x: f32[4]) {
      %i = NonZero(%x) {output_type=i64} : i64[1,?]
      return %i
    }"""
    (found,) = refused(parse(text), Limits(static_shapes=True), Trace())
    assert found.help == "cut the model before that: name other outputs"


def test_an_operator_that_does_not_exist_is_a_mistake_of_the_profile() -> None:
    with pytest.raises(
        UsageError, match=r"device XPU: unknown operator 'Convolutoin' \(did you mean 'Convolution'\?\)"
    ):
        refused(parse(unary("Erf")), on(takes=("Convolutoin",)), Trace())


def test_an_input_of_another_type_can_be_given_one() -> None:
    text = "graph(%x: i64[2]) {\n  %y = Convert(%x) {destination_type=f32} : f32[2]\n  return %y\n}"
    (found,) = refused(parse(text), on(input_types=("f32", "u8")), Trace())
    assert found.help == "give the input another 'type': one of f32, u8"
