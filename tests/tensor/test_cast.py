"""Casts: numpy's bits, and the same ones on every machine where numpy leaves the choice."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from modelbuild.tensor.cast import BeyondRange, Caster
from modelbuild.tensor.derived import Cast
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory

E = ElementType
PATTERNS = np.random.default_rng(3).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)


def f32(numbers: list[float]) -> Array:
    return np.array(numbers, np.float32)


F32 = np.concatenate([PATTERNS.view(np.float32), f32([0.0, -0.0, 65504, 65519.99, 65520, 1e-8, 3.4e38])])
F16 = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
NUMERIC = [kind for kind in E if kind not in {E.string, E.dynamic, E.nf4, E.u3, E.u6}]


def cast(array: Array, target: ElementType, *, saturate: bool = True) -> Array:
    return Cast(InMemory(array), target, saturate).numpy()


def bits(array: Array) -> Array:
    found: Array = array.view(f"u{array.itemsize}")
    return found


@pytest.mark.parametrize(
    ("array", "target"), [(F32, E.f16), (F32, E.bf16), (F16, E.f32), (F32, E.f8e5m2), (F32, E.f64), (F16, E.bf16)]
)
def test_numbers_have_numpys_bits(array: Array, target: ElementType) -> None:
    with np.errstate(all="ignore"):
        expected = array.astype(target.numpy)
    numbers = ~np.isnan(array)
    assert (bits(cast(array, target, saturate=False)) == bits(expected))[numbers].all()


def test_a_piece_without_extremes_has_numpys_bits() -> None:
    ordinary = np.random.default_rng(0).standard_normal(10_001).astype(np.float32)
    for target in (E.f16, E.bf16):
        assert (bits(cast(ordinary, target)) == bits(ordinary.astype(target.numpy))).all()


@pytest.mark.parametrize("target", [E.f16, E.bf16, E.f8e5m2, E.f8e4m3])
def test_finite_overflow_saturates_and_infinity_stays(target: ElementType) -> None:
    largest = float(ml_dtypes.finfo(target.numpy).max)  # type: ignore[no-untyped-call]
    got = cast(f32([3.4028235e38, -3.4028235e38, np.inf, 1.0]), target).astype(np.float32)
    assert got[:2].tolist() == [largest, -largest]
    assert got[3] == 1.0
    assert np.isposinf(got[2]) or target is E.f8e4m3


def test_finite_overflow_is_infinite_without_saturation() -> None:
    assert cast(f32([65519.99, 65520, -1e9]), E.f16, saturate=False).tolist() == [65504, np.inf, -np.inf]


@pytest.mark.parametrize(
    ("nan", "source", "target", "expected"),
    [
        (0x7F800001, np.uint32, E.f16, 0x7E00),  # signalling, its payload is cut away
        (0xFFA02000, np.uint32, E.f16, 0xFF01),
        (0x7FC10000, np.uint32, E.bf16, 0x7FC0),
        (0xFF800001, np.uint32, E.bf16, 0xFFC0),
        (0x7FFFFFFF, np.uint32, E.bf16, 0x7FC0),
        (0x7C01, np.uint16, E.f32, 0x7FC02000),
        (0x7F800001, np.uint32, E.f64, 0x7FF8000020000000),
    ],
)
def test_nans_become_quiet_and_keep_sign_and_payload(
    nan: int, source: type, target: ElementType, expected: int
) -> None:
    array: Array = np.array([nan], source)
    assert hex(bits(cast(array.view(f"f{array.itemsize}"), target))[0]) == hex(expected)


def test_a_real_outside_an_integer_becomes_its_nearest_end() -> None:
    array = f32([-np.inf, -1e30, -2.9, 2.9, 2147483648.0, 1e30, np.inf, np.nan])
    assert cast(array, E.i32).tolist() == [-(2**31), -(2**31), -2, 2, 2**31 - 1, 2**31 - 1, 2**31 - 1, 0]
    assert cast(array, E.i64).tolist() == [-(2**63), -(2**63), -2, 2, 2**31, 2**63 - 1, 2**63 - 1, 0]
    assert cast(array, E.u4).astype(int).tolist() == [0, 0, 0, 2, 15, 15, 15, 0]


def test_a_signalling_nan_becomes_zero() -> None:
    assert cast(np.array([0x7F800001], np.uint32).view(np.float32), E.i32).tolist() == [0]


def test_an_integer_outside_another_saturates_or_wraps() -> None:
    array = np.array([2**63 - 1, -(2**63), 300, -1])
    assert cast(array, E.i32).tolist() == [2**31 - 1, -(2**31), 300, -1]
    assert cast(array, E.u8).tolist() == [255, 0, 255, 0]
    assert cast(array, E.u8, saturate=False).tolist() == [255, 0, 44, 255]
    assert cast(array, E.f16).tolist() == [65504, -65504, 300, -1]


def test_anything_but_zero_is_true() -> None:
    assert cast(f32([0.0, -0.0, 0.1, np.nan]), E.boolean).tolist() == [False, False, True, True]
    assert cast(np.array([0, 256]), E.boolean).tolist() == [False, True]


@pytest.mark.parametrize("source", NUMERIC)
def test_every_type_casts_one_to_every_type(source: ElementType) -> None:
    ones = np.ones(11).astype(source.numpy)
    assert {target: cast(ones, target).astype(np.float32).tolist() for target in NUMERIC} == dict.fromkeys(
        NUMERIC, [1.0] * 11
    )


@pytest.mark.parametrize("beyond", [65505.0, -1e30])
def test_a_strict_cast_refuses_what_does_not_fit(beyond: float) -> None:
    elements, out = np.array([1, beyond], np.float32), np.empty(2, np.float16)
    with pytest.raises(BeyondRange):
        Caster(E.f32, E.f16, saturate=True, strict=True).into(out, elements)


def test_a_strict_cast_takes_the_largest_number_and_what_is_none() -> None:
    elements, out = np.array([65504, -65504, np.inf, np.nan], np.float32), np.empty(4, np.float16)
    Caster(E.f32, E.f16, saturate=True, strict=True).into(out, elements)
    np.testing.assert_array_equal(out, elements.astype(np.float16))
