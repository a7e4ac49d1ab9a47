"""Scales and zero points."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.passes.compress.steps import Steps, steps_for
from modelbuild.rewrite import Skip
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.quantized import RANGES, Quantized
from modelbuild.tensor.storage import InMemory

E = ElementType
NOISE = np.random.default_rng(5).standard_normal((64, 128)).astype(np.float32)


def steps(numbers: Array, dtype: ElementType) -> Steps:
    made = steps_for(numbers.min(1, keepdims=True), numbers.max(1, keepdims=True), dtype, shared=numbers.shape[1])
    assert isinstance(made, Steps), made
    return made


def error(numbers: Array, dtype: ElementType, made: Steps) -> Array:
    """How far the numbers are from what comes back of them, in steps."""
    scales = made.scales.array.astype(np.float64)
    zeros = 0 if made.zero_points is None else made.zero_points.array.astype(np.float64)
    integers = Quantized(InMemory(numbers), dtype, made.scales, made.zero_points).numpy().astype(np.float64)
    return np.asarray(np.abs((integers - zeros) - numbers / scales))


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("shift", [-5, -0.5, 0, 0.5, 5])
def test_no_number_is_off_by_more_than_a_step(dtype: ElementType, shift: float) -> None:
    numbers = NOISE + np.float32(shift)
    assert error(numbers, dtype, steps(numbers, dtype)).max() <= 1.01


@pytest.mark.parametrize(("dtype", "least"), [(E.i4, 0.03), (E.u4, 0.02)])
def test_four_bits_lose_less_than_with_steps_that_end_on_the_last_integer(dtype: ElementType, least: float) -> None:
    low, high = NOISE.min(1, keepdims=True), NOISE.max(1, keepdims=True)
    if dtype is E.i4:
        plain = Steps(InMemory(np.where(-low >= high, low, high) / -8), None)
    else:
        scales = (high - low) / 15
        plain = Steps(InMemory(scales), InMemory(np.rint(-low / scales).astype(E.u4.numpy)))
    ours, theirs = (np.square(error(NOISE, dtype, s) * s.scales.array).mean() for s in (steps(NOISE, dtype), plain))
    assert ours < (1 - 2 * least) * theirs


def test_zero_comes_back_as_zero_from_steps_with_a_zero_point() -> None:
    numbers = np.abs(NOISE) + 1
    numbers[:, 0] = 0
    made = steps(numbers, E.u8)
    assert made.zero_points is not None
    assert not made.zero_points.array.any()


def test_what_is_all_zero_comes_back_as_zero() -> None:
    numbers = np.zeros((2, 64), np.float32)
    for dtype in RANGES:
        assert not error(numbers, dtype, steps(numbers, dtype)).any()


@pytest.mark.parametrize(("factor", "dtype"), [(1, E.f16), (1e-6, E.f32), (1e6, E.f32)])
def test_scales_are_f16_where_that_holds_them(factor: float, dtype: ElementType) -> None:
    assert steps(NOISE * np.float32(factor), E.u8).scales.dtype is dtype


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38])
def test_a_number_without_bounds_is_refused(odd: float) -> None:
    numbers = NOISE.copy()
    numbers[3, 3] = odd
    low, high = numbers.min(1, keepdims=True), numbers.max(1, keepdims=True)
    for dtype in RANGES:
        assert isinstance(steps_for(low, high, dtype, shared=128), Skip)
