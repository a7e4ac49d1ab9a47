"""Fourier transforms, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Expr

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((3, 6, 10)).astype(np.float32)
COMPLEX = RNG.standard_normal((3, 6, 10, 2)).astype(np.float32)
AS_COMPLEX = COMPLEX[..., 0] + 1j * COMPLEX[..., 1]


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def parts(array: Array) -> Array:
    return np.stack([array.real, array.imag], -1)


CASES: dict[str, tuple[Op, tuple[Array, ...], Array]] = {
    "dft": (ops.DFT(), (COMPLEX, ints(1)), parts(np.fft.fft(AS_COMPLEX, axis=1))),
    "dft_of_two_axes": (ops.DFT(), (COMPLEX, ints(1, 2)), parts(np.fft.fftn(AS_COMPLEX, axes=(1, 2)))),
    "dft_filled_up": (ops.DFT(), (COMPLEX, ints(-1), ints(16)), parts(np.fft.fft(AS_COMPLEX, 16))),
    "idft": (ops.IDFT(), (COMPLEX, ints(2), ints(-1)), parts(np.fft.ifft(AS_COMPLEX, axis=2))),
    "rdft": (ops.RDFT(), (REAL, ints(1)), parts(np.fft.rfft(REAL, axis=1))),
    "rdft_of_two_axes": (ops.RDFT(), (REAL, ints(1, 2)), parts(np.fft.rfftn(REAL, axes=(1, 2)))),
    "rdft_cut": (ops.RDFT(), (REAL, ints(2), ints(5)), parts(np.fft.rfft(REAL, 5))),
    "irdft": (ops.IRDFT(), (COMPLEX, ints(2)), np.fft.irfft(AS_COMPLEX)),
    "irdft_of_odd_length": (ops.IRDFT(), (COMPLEX, ints(2), ints(19)), np.fft.irfft(AS_COMPLEX, 19)),
}
each = pytest.mark.parametrize("name", CASES)


@each
def test_the_values_are_numpys(name: str) -> None:
    op, inputs, expected = CASES[name]
    np.testing.assert_allclose(op.evaluate(*inputs), expected, rtol=1e-5, atol=1e-5)


@each
def test_the_shape_is_that_of_the_result(name: str) -> None:
    op, (data, *where), expected = CASES[name]
    fact = op.infer(Fact(ElementType.f32, data.shape), *map(Fact.of_array, where))
    assert isinstance(fact, Fact)
    assert fact.shape == expected.shape


@each
def test_unknown_axes_leave_the_rank(name: str) -> None:
    op, (data, *where), expected = CASES[name]
    fact = op.infer(Fact(ElementType.f32, data.shape), *(Fact(ElementType.i64, a.shape) for a in where))
    assert isinstance(fact, Fact)
    assert fact.shape is not None
    assert len(fact.shape) == expected.ndim


def test_bins_of_a_symbolic_length() -> None:
    time = Expr.symbol("T")
    fact = ops.RDFT().infer(Fact(ElementType.f32, (2, time)), Fact.of_array(ints(1)))
    assert fact.shape == (2, time // 2 + 1, 2)


def test_real_data_are_not_complex() -> None:
    with pytest.raises(ValueError, match="its last axis is not 2"):
        ops.DFT().infer(Fact(ElementType.f32, (2, 3)), Fact.of_array(ints(0)))


def test_an_unknown_rank_is_no_error() -> None:
    assert ops.DFT().infer(Fact(ElementType.f32), Fact.of_array(ints(0))).shape is None


@pytest.mark.parametrize("transposed", [False, True])
def test_frames_of_a_signal(transposed: bool) -> None:
    signal, window = RNG.standard_normal((2, 20)).astype(np.float32), np.hanning(8).astype(np.float32)
    op = ops.STFT(transpose_frames=transposed)
    made = op.evaluate(signal, window, np.array(8), np.array(3))
    expected = np.stack([parts(np.fft.rfft(signal[:, s : s + 8] * window)) for s in range(0, 13, 3)], 1)
    np.testing.assert_allclose(made, expected.swapaxes(1, 2) if transposed else expected, rtol=1e-4, atol=1e-5)
    size, step = Fact.of_array(np.array(8)), Fact.of_array(np.array(3))
    assert op.infer(Fact(ElementType.f32, (2, 20)), Fact.of_array(window), size, step).shape == made.shape


def test_a_short_window_stands_in_the_middle_of_the_frame() -> None:
    signal, window = RNG.standard_normal(8).astype(np.float32), np.ones(4, np.float32)
    made = ops.STFT().evaluate(signal, window, np.array(8), np.array(1))
    expected = parts(np.fft.rfft(signal * np.array([0, 0, 1, 1, 1, 1, 0, 0])))
    np.testing.assert_allclose(made[0], expected, rtol=1e-4, atol=1e-5)


def test_frames_of_an_unknown_size() -> None:
    unknown = Fact(ElementType.i64, ())
    made = ops.STFT().infer(Fact(ElementType.f32, (2, 20)), Fact(ElementType.f32, (8,)), unknown, unknown)
    assert made.shape == (2, UNKNOWN, UNKNOWN, 2)


def test_a_step_of_nothing_is_refused() -> None:
    size, step = Fact.of_array(np.array(8)), Fact.of_array(np.array(0))
    with pytest.raises(ValueError, match="goes nowhere"):
        ops.STFT().infer(Fact(ElementType.f32, (2, 20)), Fact(ElementType.f32, (8,)), size, step)


def test_the_time_of_overlapping_frames() -> None:
    data, window = Fact(ElementType.f32, (2, 5, 7, 2)), Fact(ElementType.f32, (8,))
    size, step = Fact.of_array(np.array(8)), Fact.of_array(np.array(3))
    assert ops.ISTFT().infer(data, window, size, step).shape == (2, 26)
    assert ops.ISTFT(center=True).infer(data, window, size, step).shape == (2, 18)
    assert ops.ISTFT().infer(data, window, size, step, Fact.of_array(np.array(20))).shape == (2, 20)
