"""Quantisation simulated on real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr


def f(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def test_halves_are_rounded_to_even() -> None:
    made = ops.FakeQuantize(256).evaluate(f(0.5, 1.5, 2.5), f(0), f(255), f(0), f(255))
    np.testing.assert_array_equal(made, f(0, 2, 2))


def test_what_lies_outside_becomes_the_nearest_end() -> None:
    made = ops.FakeQuantize(256).evaluate(f(-9, 300), f(0), f(255), f(-128), f(127))
    np.testing.assert_array_equal(made, f(-128, 127))


def test_steps_of_one_range_are_steps_of_the_other() -> None:
    made = ops.FakeQuantize(5).evaluate(f(0, 0.3, 0.5, 1), f(0), f(1), f(-2), f(2))
    np.testing.assert_array_equal(made, f(-2, -1, 0, 2))


def test_ranges_broadcast_to_the_data() -> None:
    made = ops.FakeQuantize(3).evaluate(np.ones((2, 2), np.float32), f(0, 0), f(1, 4), f(0, 0), f(1, 4))
    np.testing.assert_array_equal(made, [[1, 0], [1, 0]])


def test_the_shape_is_that_of_the_data() -> None:
    shape = (Expr.symbol("N"), 3, 8, 8)
    x, channel = Fact(ElementType.f32, shape), Fact(ElementType.f32, (1, 3, 1, 1))
    assert ops.FakeQuantize(256).infer(x, channel, channel, channel, channel).shape == shape


def test_a_range_of_another_type_is_refused() -> None:
    x, half = Fact(ElementType.f32, (3,)), Fact(ElementType.f16, ())
    with pytest.raises(ValueError, match="a range is f16"):
        ops.FakeQuantize(256).infer(x, half, half, half, half)


def test_a_range_with_more_axes_than_the_data_is_refused() -> None:
    x, wide = Fact(ElementType.f32, (3,)), Fact(ElementType.f32, (2, 1))
    with pytest.raises(ValueError, match="more axes"):
        ops.FakeQuantize(256).infer(x, wide, wide, wide, wide)


def test_one_level_is_refused() -> None:
    scalar = Fact(ElementType.f32, ())
    with pytest.raises(ValueError, match="1 levels"):
        ops.FakeQuantize(1).infer(scalar, scalar, scalar, scalar, scalar)


def test_ranges_are_never_compressed() -> None:
    assert ops.FakeQuantize.precise_inputs == (1, 2, 3, 4)
