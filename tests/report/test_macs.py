from __future__ import annotations

import pytest

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.report.macs import Count
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape_text import parse_shape


def given(shape: str, dtype: ElementType = ElementType.f32) -> Value:
    return Node(Parameter(dtype, parse_shape(shape)), (), "x").output


def number(value: int) -> Value:
    import numpy as np

    tensor = Fact.of_array(np.array(value, np.int64)).value
    assert tensor is not None
    return Node(Const(tensor)).output


def macs(op: Op, *inputs: Value) -> tuple[int, set[str]]:
    count = Count()
    node = Node(op, inputs, "y")
    sources = [value for value in inputs if isinstance(value.producer.op, Parameter)]
    return count.of(Graph(sources, node.outputs)), count.assumed


PLANE = ops.Window.plain(2)
LSTM = ("sigmoid", "tanh", "tanh")


@pytest.mark.parametrize(
    ("op", "shapes", "expected"),
    [
        (ops.Convolution(PLANE), ["1,3,8,8", "16,3,3,3"], 6 * 6 * 16 * 27),
        (ops.GroupConvolution(PLANE), ["1,8,8,8", "8,1,1,3,3"], 6 * 6 * 8 * 9),
        (ops.ConvolutionBackpropData(PLANE), ["1,3,8,8", "3,16,3,3"], 8 * 8 * 3 * 16 * 9),
        (ops.GroupConvolutionBackpropData(PLANE), ["1,8,8,8", "4,2,3,3,3"], 8 * 8 * 8 * 3 * 9),
        (ops.DeformableConvolution(PLANE), ["1,3,8,8", "1,18,6,6", "16,3,3,3"], 6 * 6 * 16 * 27),
        (ops.MatMul(), ["2,5,7", "7,11"], 2 * 5 * 7 * 11),
        (ops.MatMul(transpose_a=True), ["7,5", "7,11"], 5 * 7 * 11),
        (ops.MatMul(), ["7", "7"], 7),
        (ops.Einsum("bqhd,bkhd->bhqk"), ["2,3,4,5", "2,6,4,5"], 2 * 4 * 3 * 6 * 5),
        (ops.Einsum("...i,ij->...j"), ["2,3,5", "5,7"], 2 * 3 * 7 * 5),
        (ops.LSTMCell(4, LSTM), ["1,3", "1,4", "1,4", "16,3", "16,4", "16"], 16 * 7),
        (ops.Relu(), ["1,3,8,8"], 0),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Op) else "",
)
def test_an_operation_costs_what_its_products_are(op: Op, shapes: list[str], expected: int) -> None:
    assert macs(op, *map(given, shapes)) == (expected, set())


def test_a_sequence_costs_its_weights_at_every_time_and_row() -> None:
    inputs = [given(shape) for shape in ("2,10,3", "2,1,4", "2,1,4")]
    lengths = given("2", ElementType.i32)
    weights = [given(shape) for shape in ("1,16,3", "1,16,4", "1,16")]
    assert macs(ops.LSTMSequence(4, LSTM), *inputs, lengths, *weights) == (2 * 10 * 16 * 7, set())


def test_a_dimension_that_is_no_number_counts_as_one_and_is_named() -> None:
    assert macs(ops.MatMul(), given("N,2*S+1,7"), given("7,11")) == (77, {"N", "S"})


def test_a_dimension_that_nobody_knows_has_no_name() -> None:
    assert macs(ops.MatMul(), given("?,7"), given("7,11")) == (77, {"?"})


def test_an_operation_of_unknown_rank_is_left_out_and_told() -> None:
    assert macs(ops.MatMul(), given("..."), given("7,11")) == (0, {"?"})


def product() -> Graph:
    a, b = given("2,3"), given("3,5")
    return Graph([a, b], [Node(ops.MatMul(), (a, b), "y").output])


def test_of_a_choice_the_dearer_branch_counts() -> None:
    a, b = given("2,3"), given("3,5")
    other = Graph([a], [Node(ops.Relu(), (given("2,5"),), "y").output])
    op = ops.If(product(), other, (1, 2), (1,))
    assert macs(op, given("", ElementType.boolean), a, b)[0] == 30


def test_a_loop_costs_its_body_every_time() -> None:
    op = ops.TensorIterator(product(), (ops.Sliced(0, 0, part_size=2), ops.Invariant(1)), (ops.Stacked(0, 0),))
    assert macs(op, given("14,3"), given("3,5")) == (7 * 30, set())


@pytest.mark.parametrize(("trips", "expected"), [(number(4), (120, set())), (number(2**62), (30, {"?"}))])
def test_a_loop_without_a_sensible_count_runs_once(trips: Value, expected: tuple[int, set[str]]) -> None:
    a, b, on = given("2,3"), given("3,5"), given("", ElementType.boolean)
    body = Graph([on, a, b], [on, Node(ops.MatMul(), (a, b), "y").output])
    feeds = (ops.Merged(1, 0), ops.Invariant(2), ops.Invariant(3))
    op = ops.Loop(body, feeds, (ops.Last(1),))
    assert macs(op, trips, given("", ElementType.boolean), given("2,3"), given("3,5")) == expected
