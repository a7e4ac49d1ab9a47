"""Which weights are stored as integers, and in what form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import BuildError, UsageError
from modelbuild.graph import Graph, Node, Op, verify
from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.structure import Const, Parameter
from modelbuild.graph.text import parse
from modelbuild.ops.convolution import Window
from modelbuild.passes.specialize import specialize
from modelbuild.targets import Compression, Int4, Int8, Keep, Precision
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.storage import InMemory

F32 = ElementType.f32
PRODUCTS = """graph(%x: f32[1,256]) {
  %a = Const() {value=random} : f32[256,256]
  %y1 = MatMul(%x, %a) {transpose_a=false, transpose_b=false} : f32[1,256] ; layer="first" from="Gemm:one"
  %b = Const() {value=random} : f32[192,256]
  %y2 = MatMul(%y1, %b) {transpose_a=false, transpose_b=true} : f32[1,192] ; layer="second" from="MatMul:two"
  %c = Const() {value=random} : f32[192,64]
  %y3 = MatMul(%y2, %c) {transpose_a=false, transpose_b=false} : f32[1,64] ; layer="last" from="MatMul:three"
  return %y3
}"""


def compressed(text: str, precision: str = "INT8", how: Compression = Compression()) -> Graph:  # noqa: B008
    graph = parse(text)
    specialize(graph, precision=precision, compression=how)
    verify(graph)
    return graph


def stored(graph: Graph) -> dict[str, ElementType]:
    """The types of the large constants, by the name of the source's constant."""
    return dict(_stored(graph))


def _stored(graph: Graph) -> Iterator[tuple[str, ElementType]]:
    for node in graph.nodes():
        if isinstance(node.op, Const) and node.op.value.size >= 1024:
            yield node.name.partition("/")[0].partition("_")[0], node.op.value.dtype
        for body in node.op.bodies():
            yield from _stored(body)


def chain(graph: Graph, name: str) -> list[Node[Op]]:
    """What a weight is unpacked by, from its integers on."""
    node = next(n for n in graph.nodes() if isinstance(n.op, Const) and n.name == f"{name}/compressed")
    found = [node]
    while not isinstance(node.op, ops.MatMul | ops.Gather | ops.Convolution):
        (node,) = node.users
        found.append(node)
    return found


# ---- the forms ----


def test_int8_has_a_zero_point_and_a_scale_a_channel() -> None:
    unpacked = chain(compressed(PRODUCTS), "b")
    assert [type(node.op).__name__ for node in unpacked] == [
        "Const", "Convert", "Subtract", "Multiply", "Convert", "MatMul",
    ]  # fmt: skip
    assert [str(node.output.fact) for node in unpacked[:2]] == ["u8[192,256]", "f16[192,256]"]
    assert [str(node.inputs[1].fact) for node in unpacked[2:4]] == ["f16[192,1]", "f16[192,1]"]
    assert str(unpacked[2].inputs[1].producer.inputs[0].fact) == "u8[192,1]"
    assert unpacked[4].name == "b"


def test_int4_has_a_scale_a_group_and_no_zero_point() -> None:
    unpacked = chain(compressed(PRODUCTS, "INT4"), "b")
    assert [str(node.output.fact) for node in unpacked[:-1]] == [
        "i4[192,2,128]", "f16[192,2,128]", "f16[192,2,128]", "f16[192,256]", "f32[192,256]",
    ]  # fmt: skip
    assert str(unpacked[2].inputs[1].fact) == "f16[192,2,1]"


def test_weights_that_are_not_transposed_are_grouped_along_their_first_axis() -> None:
    unpacked = chain(compressed(PRODUCTS, "INT4"), "a")
    assert [str(unpacked[i].output.fact) for i in (0, 3)] == ["i4[2,128,256]", "f16[256,256]"]


@pytest.mark.parametrize(
    ("how", "precision", "dtype"),
    [
        (Compression(Int8("sym")), "INT8", "i8[256,256]"),
        (Compression(int4=Int4("asym")), "INT4", "u4[2,128,256]"),
        (Compression(int4=Int4(group_size=64)), "INT4", "i4[4,64,256]"),
        (Compression(int4=Int4(group_size=-1)), "INT4", "i4[256,256]"),
        (Compression(int4=Int4(group_size=1024)), "INT4", "i4[256,256]"),
    ],
)
def test_a_person_chooses_mode_and_group(how: Compression, precision: str, dtype: str) -> None:
    assert str(chain(compressed(PRODUCTS, precision, how), "a")[0].output.fact) == dtype


def test_groups_that_do_not_come_out_even_are_smaller() -> None:
    text = PRODUCTS.replace("256", "320")
    assert str(chain(compressed(text, "INT4"), "b")[0].output.fact) == "i4[192,5,64]"


def test_what_cannot_be_grouped_gets_int8() -> None:
    text = PRODUCTS.replace("256", "250")
    assert set(stored(compressed(text, "INT4")).values()) == {ElementType.u8}


def test_what_is_unpacked_is_near_what_it_was() -> None:
    feed = [np.random.default_rng(1).standard_normal((1, 256)).astype(np.float32)]
    (wanted,) = evaluate(parse(PRODUCTS), feed)
    for precision, most in (("INT8", 0.02), ("INT4", 0.2)):
        (given,) = evaluate(compressed(PRODUCTS, precision), feed)
        assert np.linalg.norm(given - wanted) < most * np.linalg.norm(wanted)


# ---- which ----


def test_the_last_product_gets_int8() -> None:
    assert stored(compressed(PRODUCTS, "INT4")) == {"a": ElementType.i4, "b": ElementType.i4, "c": ElementType.u8}


def test_all_layers_get_int4_where_that_is_asked_for() -> None:
    found = stored(compressed(PRODUCTS, "INT4", Compression(int4=Int4(all_layers=True))))
    assert set(found.values()) == {ElementType.i4}


@pytest.mark.parametrize(("ratio", "rough", "four"), [(0, "a", ""), (0.5, "a", "b"), (0.6, "b", "a"), (1, "a", "ab")])
def test_a_ratio_leaves_int8_to_what_int4_would_hurt_most(ratio: float, rough: str, four: str) -> None:
    graph = parse(PRODUCTS)
    (node,) = (n for n in graph.nodes() if n.name == rough)
    assert isinstance(node.op, Const)
    outliers = node.op.value.numpy().copy()
    outliers[::7, ::7] *= 20
    node.op = Const(InMemory(outliers))
    specialize(graph, precision="INT4", compression=Compression(int4=Int4(ratio=ratio)))
    assert {name for name, dtype in stored(graph).items() if dtype is ElementType.i4} == set(four)


def test_an_embedding_gets_int8_by_rows() -> None:
    graph = compressed(
        """graph(%x: i64[5]) {
          %w = Const() {value=random} : f32[300,32]
          %axis = Const() {value=[0]} : i32[]
          %y = Gather(%w, %x, %axis) {batch_dims=0} : f32[5,32]
          return %y
        }""",
        "INT4",
    )
    unpacked = chain(graph, "w")
    assert [str(unpacked[0].output.fact), str(unpacked[3].inputs[1].fact)] == ["u8[300,32]", "f16[300,1]"]


@pytest.mark.parametrize(
    ("op", "weights", "scales"),
    [
        (ops.Convolution, (16, 8, 3, 3), "f16[16,1,1,1]"),
        (ops.GroupConvolution, (2, 16, 4, 3, 3), "f16[2,16,1,1,1]"),
        (ops.ConvolutionBackpropData, (8, 16, 3, 3), "f16[1,16,1,1]"),
        (ops.GroupConvolutionBackpropData, (2, 4, 16, 3, 3), "f16[2,1,16,1,1]"),
    ],
)
def test_a_convolution_has_a_scale_an_output_channel(op: Any, weights: Ints, scales: str) -> None:
    graph = applied(op(Window.plain(2)), (1, 8, 9, 9), weights)
    specialize(graph, precision="INT8")
    (scale,) = (node for node in graph.nodes() if node.name == "w/scale")
    assert str(scale.output.fact) == scales


def applied(
    op: Op, shape: Ints, weights: Ints, dtype: ElementType = ElementType.f32, *, swapped: bool = False
) -> Graph:
    x = Node(Parameter(dtype, shape), (), "x", names=["x"]).output
    numbers = np.random.default_rng(weights).standard_normal(weights).astype(dtype.numpy)
    w = Node(Const(InMemory(numbers)), (), "w").output
    return Graph([x], [Node(op, (w, x) if swapped else (x, w), "y", names=["y"]).output])


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (applied(ops.MatMul(), (1, 8), (8, 8)), "64 numbers are too few"),
        (applied(ops.MatMul(), (1, 8), (8, 512)), "only 8 numbers would share a scale"),
        (applied(ops.GroupConvolution(Window.plain(2)), (1, 256, 9, 9), (256, 1, 1, 3, 3)), "only 9 numbers would"),
        (applied(ops.MatMul(), (4, 8, 64), (4, 64, 64)), "weights of 3 axes are no matrix"),
        (applied(ops.MatMul(), (64, 8), (64, 64), swapped=True), "MatMul takes no compressed weights"),
        (applied(ops.Add(), (64, 64), (64, 64)), "Add takes no compressed weights"),
    ],
)
def test_other_constants_are_stored_as_in_fp16_and_say_why(graph: Graph, why: str) -> None:
    trace = specialize(graph, precision="INT8")
    assert why in str(trace)
    assert {v.fact.dtype for n in graph.nodes() if isinstance(n.op, Const) for v in n.outputs} == {ElementType.f16}


def test_weights_of_two_products_along_different_axes_are_left_alone() -> None:
    graph = parse("""graph(%x: f32[1,64]) {
      %w = Const() {value=random} : f32[64,64]
      %a = MatMul(%x, %w) {transpose_a=false, transpose_b=false} : f32[1,64]
      %y = MatMul(%a, %w) {transpose_a=false, transpose_b=true} : f32[1,64]
      return %y
    }""")
    assert "compress_to_integers w: its users sum along other axes of it" in str(specialize(graph, precision="INT8"))


def test_a_number_that_is_none_leaves_its_weight_as_it_is() -> None:
    graph = applied(ops.MatMul(), (1, 64), (64, 64))
    (node,) = (n for n in graph.nodes() if isinstance(n.op, Const))
    numbers = node.op.value.numpy().copy() if isinstance(node.op, Const) else np.empty(0)
    numbers[3, 3] = np.nan
    node.op = Const(InMemory(numbers))
    assert "w: it holds a number that is infinite, huge or none" in str(specialize(graph, precision="INT8"))


def test_weights_in_half_precision_are_unpacked_to_half_precision() -> None:
    graph = applied(ops.MatMul(), (1, 64), (64, 64), ElementType.f16)
    specialize(graph, precision="INT8")
    assert [type(node.op).__name__ for node in chain(graph, "w")] == [
        "Const", "Convert", "Subtract", "Multiply", "MatMul",
    ]  # fmt: skip


def test_filters_of_spectra_keep_half_precision() -> None:
    graph = parse("""graph(%x: f32[1,64]) {
      %w = Const() {value=random} : f32[64,64]
      %a = MatMul(%x, %w) {transpose_a=false, transpose_b=false} : f32[1,64]
      %b = Multiply(%a, %a) {auto_broadcast="numpy"} : f32[1,64]
      %c = Log(%b) : f32[1,64]
      %v = Const() {value=random} : f32[64,64]
      %y = MatMul(%c, %v) {transpose_a=false, transpose_b=false} : f32[1,64]
      return %y
    }""")
    specialize(graph, precision="INT8")
    assert stored(graph) == {"w": ElementType.f16, "v": ElementType.u8}


# ---- rules ----


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (Keep("second", (), Precision.FP16), {"b": "f16"}),
        (Keep("s*", (), Precision.FP32), {"b": "f32"}),
        (Keep("b", (), Precision.INT8), {"b": "u8"}),
        (Keep("two", ("MatMul",), Precision.FP16), {"b": "f16"}),
        (Keep("", ("Gemm",), Precision.FP16), {"a": "f16"}),
        (Keep("", ("MatMul",), Precision.FP16), {"a": "f16", "b": "f16", "c": "f16"}),
    ],
)
def test_a_rule_keeps_layers_by_name_and_type(rule: Keep, kept: dict[str, str]) -> None:
    found = stored(compressed(PRODUCTS, "INT4", Compression(keep=(rule,))))
    assert found == {"a": "i4", "b": "i4", "c": "u8"} | kept


def test_a_lower_precision_than_the_artifacts_changes_nothing() -> None:
    rule = Keep("*", (), Precision.INT8)
    assert set(stored(compressed(PRODUCTS, "FP16", Compression(keep=(rule,)))).values()) == {ElementType.f16}


def test_rules_that_mean_no_layer_are_refused_together() -> None:
    rules = (Keep("secund", (), Precision.FP16), Keep("", ("MatMull",), Precision.FP16))
    with pytest.raises(UsageError, match=r"keep: no layer with weights is meant by 'secund', '\[MatMull\]'") as caught:
        compressed(PRODUCTS, "INT8", Compression(keep=rules))
    assert [note.partition("(")[2] for note in caught.value.notes] == [
        "did you mean 'second'?)", "did you mean 'MatMul'?)",
    ]  # fmt: skip


# ---- what is quantised already ----


@pytest.mark.parametrize("precision", ["INT8", "INT4"])
def test_a_model_that_is_quantized_is_not_quantized_again(precision: str) -> None:
    text = """graph(%x: f32[1,64]) {
      %w = Const() {value=random} : i8[64,64]
      %f = Convert(%w) {destination_type=f32, decompression=false} : f32[64,64]
      %y = MatMul(%x, %f) {transpose_a=false, transpose_b=false} : f32[1,64]
      return %y
    }"""
    with pytest.raises(BuildError, match=rf"not quantised again to {precision}: w i8\[64,64\]"):
        compressed(text, precision)


def test_a_model_without_weights_says_so() -> None:
    graph = applied(ops.Add(), (4, 4), (4, 4))
    specialize(graph, precision="INT4")
    assert graph.notes == ["INT4: there is no weight that it is for"]
