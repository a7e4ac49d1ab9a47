from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelbuild.runtime.compare import Difference, compare, over


def difference(got: Any, want: Any, dtype: str = "f4") -> Difference:
    return compare(np.array(got, dtype), np.array(want, dtype))


def test_equal_arrays_do_not_differ() -> None:
    found = difference([1, -2, 0], [1, -2, 0])
    assert found == Difference(0, 0, peak=2, cosine=found.cosine, misplaced=0, rows=1, agreeing=1)
    assert math.isclose(found.cosine, 1)
    assert found.within(0)


def test_the_difference_is_measured_against_the_peak_of_the_reference() -> None:
    found = difference([1, 2, 4.5], [1, 2, 4])
    assert (found.max_abs, found.mean_abs, found.max_rel_to_peak) == (0.5, 0.5 / 3, 0.125)
    assert found.within(0.125)
    assert not found.within(0.124)


def test_noise_around_silence_is_not_relative_to_it() -> None:
    assert difference([1e-12], [0]).max_rel_to_peak == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("got", "want"),
    [([math.nan], [1]), ([1], [math.nan]), ([math.inf], [1]), ([math.inf], [-math.inf]), ([math.nan], [math.inf])],
)
def test_a_number_that_is_not_finite_where_the_reference_has_another_is_misplaced(got: Any, want: Any) -> None:
    found = difference([*got, 1], [*want, 1])
    assert found.misplaced == 1
    assert not found.within(1)


def test_numbers_that_are_not_finite_in_both_are_left_out() -> None:
    found = difference([math.nan, math.inf, 2], [math.nan, math.inf, 1])
    assert (found.misplaced, found.max_abs, found.mean_abs, found.peak) == (0, 1, 1, 1)


@pytest.mark.parametrize(
    ("got", "want", "cosine"),
    [([1, 0], [0, 1], 0), ([1, 1], [-1, -1], -1), ([0, 0], [0, 0], 1), ([0, 0], [1, 0], 0), ([1e-30], [1e30], 1)],
)
def test_the_cosine_is_that_of_the_angle_between_them(got: Any, want: Any, cosine: float) -> None:
    assert difference(got, want).cosine == pytest.approx(cosine)


def test_another_shape_is_a_problem_not_a_number() -> None:
    found = difference([[1]], [1])
    assert found.problem == "shape [1, 1], [1] expected"
    assert found.max_rel_to_peak == math.inf
    assert not found.within(math.inf)


def test_another_element_type_is_a_problem() -> None:
    assert compare(np.zeros(1, "f2"), np.zeros(1, "f4")).problem == "element type f16, f32 expected"


@pytest.mark.parametrize(("got", "want"), [(["a", "b"], ["a", "c"]), ([True, False], [True, True])])
def test_what_has_no_distance_is_counted(got: list[Any], want: list[Any]) -> None:
    found = compare(np.array(got), np.array(want))
    assert found.misplaced == 1
    assert not found.within(1)


def test_large_integers_keep_their_difference() -> None:
    assert difference([2**40 + 1], [2**40], "i8").max_abs == 1


def test_arrays_without_elements_are_equal() -> None:
    assert difference([], []).within(0)


def test_rows_agree_where_their_largest_element_is_the_same() -> None:
    found = difference([[1, 3, 2], [5, 4, 0]], [[0, 9, 1], [4, 5, 0]])
    assert (found.rows, found.agreeing, found.top1) == (2, 1, 0.5)


@pytest.mark.parametrize(
    ("shape", "rows"), [((2, 5), 2), ((2, 3, 5), 6), ((2, 5, 3, 4), 24), ((2, 5, 3, 4, 6), 144), ((2, 1, 3, 4), 0)]
)
def test_classes_lie_along_the_last_axis_and_those_of_a_picture_along_the_second(
    shape: tuple[int, ...], rows: int
) -> None:
    assert difference(np.zeros(shape), np.zeros(shape)).rows == rows


def test_the_classes_of_a_picture_are_compared_pixel_by_pixel() -> None:
    want = np.zeros((1, 3, 2, 2), np.float32)
    want[0, 1] = 1
    got = want.copy()
    got[0, 2, 0, 0] = 2
    assert compare(got, want).top1 == 0.75


def test_classes_lie_where_they_are_said_to() -> None:
    last_are_classes = np.zeros((1, 3, 2, 4), np.float32)
    assert compare(last_are_classes, last_are_classes, -1).rows == 6
    assert compare(last_are_classes, last_are_classes, 4).top1 is None


def test_where_there_is_nothing_to_choose_nobody_agrees() -> None:
    assert difference([[1], [2]], [[1], [2]]).top1 is None


def test_over_several_examples_the_worst_counts() -> None:
    good, bad = difference([[1, 2]], [[1, 2]]), difference([[2, 1]], [[1, 2]])
    found = over([good, bad])
    assert (found.max_abs, found.mean_abs, found.cosine, found.top1) == (1.0, 0.5, bad.cosine, 0.5)
