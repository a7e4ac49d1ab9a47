"""Shapes that are not known yet, and what shape arithmetic makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph import Node, Op, Value
from modelbuild.graph.known import infer
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr, Shape
from modelbuild.tensor.storage import InMemory

B, S, T = (Expr.symbol(name) for name in "BST")
FAR = (1 << 63) - 1


def given(*shape: Dim, dtype: ElementType = ElementType.f32) -> Value:
    return Node(Parameter(dtype, shape)).output


def numbers(*content: int) -> Value:
    return Node(Const(InMemory(np.array(content, np.int64)))).output


def index(number: int) -> Value:
    return Node(Const(InMemory(np.array(number, np.int64)))).output


def run(op: Op, *inputs: Value) -> Value:
    return Node(op, inputs).output


def extent(x: Value, axis: int) -> Value:
    """The extent of an axis as exporters write it: Shape, Gather, Unsqueeze."""
    found = run(ops.Gather(), run(ops.ShapeOf(), x), index(axis), index(0))
    return run(ops.Unsqueeze(), found, numbers(0))


@pytest.mark.parametrize(
    ("shape", "pattern", "wanted"),
    [
        ((B, S, 1024), (0, 0, 16, -1), (B, S, 16, 64)),
        ((B, S, 1024), (-1, 1024), (B * S, 1024)),
        ((B, S, 1024), (-1,), (B * S * 1024,)),
        ((UNKNOWN, 3, 4), (0, -1), (UNKNOWN, 12)),
        ((UNKNOWN, UNKNOWN), (-1,), (UNKNOWN,)),
        ((2, 3), (3, -1), (3, 2)),
        ((0, 3), (0, -1), (0, 3)),
        ((), (1, 1), (1, 1)),
    ],
)
def test_reshape_finds_what_is_left(shape: Shape, pattern: tuple[int, ...], wanted: Shape) -> None:
    assert run(ops.Reshape(special_zero=True), given(*shape), numbers(*pattern)).fact.shape == wanted


def test_reshape_follows_a_pattern_that_is_put_together() -> None:
    x = given(B, S, 1024)
    pattern = run(ops.Concat(0), extent(x, 0), extent(x, 1), numbers(16, -1))
    assert run(ops.Reshape(), x, pattern).fact.shape == (B, S, 16, 64)


def test_one_unknown_number_in_a_pattern_is_found_by_counting() -> None:
    pattern = run(ops.Concat(0), given(1, dtype=ElementType.i64), numbers(6))
    assert run(ops.Reshape(), given(4, 9), pattern).fact.shape == (6, 6)


@pytest.mark.parametrize(
    ("shape", "pattern", "complaint"),
    [
        ((2, 3), (4, -1), "no multiple of 4"),
        ((2, 3), (7,), "6 elements, not 7"),
        ((2, 3), (-1, -1), "no pattern"),
        ((2, 3), (-2, 3), "no pattern"),
        ((2,), (2, 0), "copies axis 1"),
    ],
)
def test_reshape_refuses_what_cannot_fit(shape: Shape, pattern: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        run(ops.Reshape(special_zero=True), given(*shape), numbers(*pattern))


@pytest.mark.parametrize(
    ("start", "stop", "step", "wanted"),
    [
        (0, FAR, 1, S),
        (0, FAR, 2, (S + 1) // 2),
        (-1, -FAR, -1, S),
        (FAR, -FAR - 1, -1, S),
        (5, 3, 1, 0),
        (-3, -5, 1, 0),
    ],
)
def test_a_slice_of_a_symbolic_axis_is_known_where_it_can_be(start: int, stop: int, step: int, wanted: Dim) -> None:
    made = run(ops.Slice(), given(S, 4), numbers(start), numbers(stop), numbers(step), numbers(0))
    assert made.fact.shape == (wanted, 4)


def test_the_first_elements_of_an_axis_long_enough_are_so_many() -> None:
    long = Expr.symbol("L", 8)
    made = run(ops.Slice(), given(long), numbers(1), numbers(5), numbers(1), numbers(0))
    assert made.fact.shape == (4,)


def test_the_rest_of_an_axis_long_enough_is_its_extent_less_the_start() -> None:
    long = Expr.symbol("L", 8)
    made = run(ops.Slice(), given(long), numbers(1), numbers(FAR), numbers(1), numbers(0))
    assert made.fact.shape == (long - 1,)


def test_a_slice_may_end_at_a_symbol() -> None:
    x = given(B, S)
    made = run(ops.Slice(), given(1, 512), numbers(0), extent(x, 1), numbers(1), numbers(1))
    assert str((made.fact.shape or ())[1]) == "min(512,S)"


def test_step_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="step 0"):
        run(ops.Slice(), given(3), numbers(0), numbers(1), numbers(0), numbers(0))


def test_broadcast_to_a_symbolic_target() -> None:
    x = given(B, S)
    target = run(ops.Concat(0), extent(x, 0), numbers(4), extent(x, 1))
    assert run(ops.Broadcast("bidirectional"), given(1, S), target).fact.shape == (B, 4, S)


def test_a_target_known_in_length_only_gives_the_rank() -> None:
    target = given(3, dtype=ElementType.i64)
    assert run(ops.Broadcast("bidirectional"), given(5), target).fact.shape == (UNKNOWN, UNKNOWN, 5)


def test_a_list_with_a_part_that_is_computed_later_is_known_but_for_that_part() -> None:
    x = given(B, S)
    listed = run(ops.Concat(0), extent(x, 0), given(1, dtype=ElementType.i64), numbers(64))
    assert listed.fact.elements == (B, UNKNOWN, 64)


def test_select_by_a_known_condition_picks_the_dimension() -> None:
    x = given(B, S)
    asked = numbers(-1, 4)
    kept = run(ops.Equal(), asked, numbers(-1, -1))
    assert run(ops.Select(), kept, run(ops.ShapeOf(), x), asked).fact.elements == (B, 4)


def test_a_range_over_a_symbol_is_so_long() -> None:
    x = given(S)
    stop = run(ops.Squeeze(), extent(x, 0), numbers(0))
    assert run(ops.Range(ElementType.i64), index(0), stop, index(1)).fact.shape == (S,)


def test_a_range_of_known_length_follows_its_start() -> None:
    x = given(S)
    start = run(ops.Squeeze(), extent(x, 0), numbers(0))
    stop = run(ops.Add(), start, index(2))
    assert run(ops.Range(ElementType.i64), start, stop, index(1)).fact.elements == (S, S + 1)


def test_a_symbolic_index_leaves_the_content_open() -> None:
    x = given(S)
    place = run(ops.Squeeze(), extent(x, 0), numbers(0))
    picked = run(ops.Gather(), numbers(5, 6, 7), place, index(0))
    assert picked.fact.shape == ()
    assert picked.fact.elements is None


def test_an_update_of_a_list_of_dimensions_is_followed() -> None:
    whole = run(ops.ShapeOf(), given(B, S, 4))
    assert run(ops.ScatterElementsUpdate(), whole, numbers(2), numbers(9), index(0)).fact.elements == (B, S, 9)
    assert run(ops.ScatterUpdate(), whole, numbers(0), numbers(1), index(0)).fact.elements == (1, S, 4)


def test_conversions_of_dimensions_are_followed() -> None:
    whole = run(ops.ShapeOf(), given(Expr.symbol("L", 1), S))
    assert run(ops.Convert(ElementType.i32), whole).fact.elements == (Expr.symbol("L", 1), S)
    assert run(ops.Convert(ElementType.boolean), whole).fact.elements == (1, UNKNOWN)


def test_concat_adds_symbolic_extents() -> None:
    assert run(ops.Concat(1), given(B, S, 4), given(B, T, 4)).fact.shape == (B, S + T, 4)


def test_concat_takes_what_any_part_knows_of_the_other_axes() -> None:
    assert run(ops.Concat(0), given(1, S), given(1, 4)).fact.shape == (2, 4)


def test_concat_refuses_parts_that_do_not_meet() -> None:
    with pytest.raises(ValueError, match="3 and 4 differ"):
        run(ops.Concat(0), given(1, 3), given(1, 4))


def test_split_divides_a_symbolic_axis() -> None:
    first, second = Node(ops.Split(2), (given(B, S * 2), index(1))).outputs
    assert first.fact.shape == second.fact.shape == (B, S)


def test_variadic_split_gives_the_rest() -> None:
    facts = ops.VariadicSplit().infer(given(B, S + 3).fact, index(1).fact, numbers(3, -1).fact)
    assert [f.shape for f in facts] == [(B, 3), (B, S)]


@pytest.mark.parametrize("lengths", [(3, 4), (9, -1)])
def test_parts_that_do_not_add_up_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        ops.VariadicSplit().infer(given(6).fact, index(0).fact, numbers(*lengths).fact)


def test_squeeze_of_an_axis_that_is_not_one_is_refused() -> None:
    with pytest.raises(ValueError, match="is not 1"):
        run(ops.Squeeze(), given(2, 3), numbers(0))


def test_squeeze_of_all_axes_has_no_known_rank_where_an_extent_is_open() -> None:
    assert run(ops.Squeeze(), given(1, S)).fact.shape is None


def test_an_axis_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="axis 2 is not in a tensor of 2 axes"):
        run(ops.Gather(), given(2, 3), index(0), index(2))


def test_an_axis_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="name one twice"):
        run(ops.Transpose(), given(2, 3), numbers(0, -2))


def test_padding_of_a_symbolic_axis_adds_to_it() -> None:
    assert run(ops.Pad(), given(S, 3), numbers(1, 0), numbers(2, 4)).fact.shape == (S + 3, 7)


def test_more_than_there_is_cannot_be_the_largest() -> None:
    with pytest.raises(ValueError, match="has no 4 elements"):
        Node(ops.TopK(0), (given(3), index(4)))


def test_the_places_of_a_small_constant_are_counted() -> None:
    found = run(ops.NonZero(), Node(Const(InMemory(np.array([1, 0, 2])))).output)
    assert found.fact.ints == (0, 2)


def test_numbers_too_large_for_an_integer_become_its_extreme() -> None:
    given_ = np.array([1e30, -1e30, np.nan, -1.9, 1.9])
    assert ops.Convert(ElementType.i32).evaluate(given_).tolist() == [2**31 - 1, -(2**31), 0, -1, 1]
    assert ops.Convert(ElementType.u64).evaluate(given_).tolist() == [2**64 - 1, 0, 0, 0, 1]


def test_integers_lose_their_high_bits() -> None:
    assert ops.Convert(ElementType.i8).evaluate(np.array([200, -200, 300])).tolist() == [-56, 56, 44]


@pytest.mark.parametrize("dtype", [ElementType.u4, ElementType.string, ElementType.bf16, ElementType.boolean])
def test_elements_of_any_type_move(dtype: ElementType) -> None:
    content = np.array(["a", "b", "c", "d"], object) if dtype is ElementType.string else np.arange(4) % 2
    tensor = InMemory(content.astype(dtype.numpy).reshape(2, 2))
    moved = ops.Transpose().evaluate(tensor.numpy(), np.array([1, 0]))
    assert moved.tolist() == tensor.numpy().T.tolist()
    assert Fact.of(tensor).dtype is dtype


@pytest.mark.parametrize(
    ("shape", "indices", "wanted"),
    [
        ((3, B, S), None, "f32[3,?,S]"),
        ((3, B, S), (UNKNOWN, 2, UNKNOWN), "f32[3,2,S]"),
        (None, (B, 2), "f32[B,2]"),
    ],
)
def test_elements_gathered_have_the_extents_of_both(shape: Shape | None, indices: Shape | None, wanted: str) -> None:
    (found,) = infer(ops.GatherElements(1), (Fact(ElementType.f32, shape), Fact(ElementType.i64, indices)))
    assert str(found) == wanted
