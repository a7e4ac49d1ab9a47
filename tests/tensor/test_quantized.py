"""Real numbers as small integers: their extent, and the integers."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.pieces import PIECE
from modelbuild.tensor.quantized import RANGES, Quantized, extremes
from modelbuild.tensor.recipe import read_tensor, write_tensor
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

E = ElementType
SHARED = [
    ((512, 96), (512, 1)),
    ((96, 512), (1, 512)),
    ((4, 32, 50), (4, 1, 50)),
    ((50, 4, 32), (50, 4, 1)),
    ((16, 24, 3, 3), (1, 24, 1, 1)),
    ((4, 16, 16, 3, 3), (4, 16, 1, 1, 1)),
    ((7, 1, 3), (1, 1, 1)),
]


def noise(shape: Ints) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def summed(shared: Ints) -> Ints:
    return tuple(axis for axis, extent in enumerate(shared) if extent == 1)


@pytest.mark.parametrize(("shape", "shared"), SHARED)
def test_extremes_are_those_of_the_numbers_that_share(shape: Ints, shared: Ints) -> None:
    numbers = noise(shape)
    least, most = extremes(InMemory(numbers), shared)
    assert np.array_equal(least, numbers.min(summed(shared), keepdims=True))
    assert np.array_equal(most, numbers.max(summed(shared), keepdims=True))


def test_a_number_that_is_none_shows_in_the_extremes() -> None:
    numbers = noise((4, 100))
    numbers[2, 50] = np.nan
    least, most = extremes(InMemory(numbers), (4, 1))
    assert np.isnan(least).ravel().tolist() == np.isnan(most).ravel().tolist() == [False, False, True, False]


@pytest.mark.parametrize(("shape", "shared"), SHARED)
@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("limit", [64, PIECE])
def test_an_integer_is_the_nearest_of_its_type(shape: Ints, shared: Ints, dtype: ElementType, limit: int) -> None:
    numbers, (low, high) = noise(shape), RANGES[dtype]
    scales = np.linspace(0.02, 0.3, math.prod(shared)).reshape(shared).astype(np.float16)
    zeros = np.full(shared, (low + high + 1) // 2).astype(dtype.numpy)
    made = Quantized(InMemory(numbers), dtype, InMemory(scales), InMemory(zeros))
    wanted = np.clip(np.rint(numbers * (1 / scales.astype(np.float32)) + zeros.astype(np.float32)), low, high)
    content = b"".join(bytes(piece) for piece in made.chunks(limit))
    assert content == b"".join(InMemory(wanted.astype(np.int16).astype(dtype.numpy)).chunks())


def test_ties_go_to_the_even_integer_and_what_is_none_to_the_least() -> None:
    numbers = np.array([0.5, 1.5, 2.5, -0.5, 99, -99, np.inf, np.nan], np.float32)
    made = Quantized(InMemory(numbers), E.i8, InMemory(np.ones(1, np.float32)))
    assert made.numpy().tolist() == [0, 2, 2, 0, 99, -99, 127, -128]


@pytest.mark.parametrize(
    ("dtype", "scales", "zeros", "why"),
    [
        (E.i16, np.ones((4, 1), np.float32), None, "cannot be quantized to i16"),
        (E.i8, np.ones((4, 1), np.int32), None, "in steps of i32"),
        (E.i8, np.ones((3, 1), np.float32), None, r"scales \(3, 1\) do not fit \(4, 8\)"),
        (E.u8, np.ones((4, 1), np.float32), np.zeros((1, 1), np.uint8), r"zero points \(1, 1\) are not one a scale"),
    ],
)
def test_what_does_not_fit_is_refused(dtype: ElementType, scales: Array, zeros: Array | None, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Quantized(InMemory(noise((4, 8))), dtype, InMemory(scales), None if zeros is None else InMemory(zeros))


@pytest.mark.parametrize("zeros", [None, np.full((20, 1), 7, ml_dtypes.uint4)])
def test_the_recipe_of_integers_reads_back(zeros: Array | None) -> None:
    scales = InMemory(np.linspace(0.1, 0.4, 20).astype(np.float16).reshape(20, 1))
    given = None if zeros is None else InMemory(zeros)
    made = Quantized(InMemory(noise((20, 8))), E.u4, scales, given)
    places: dict[str, Tensor] = {leaf.digest: leaf for leaf in made.sources}
    text = write_tensor(made)
    assert text.startswith("quantized(u4, @")
    read = read_tensor(text, lambda digest, _dtype, _shape: places[digest])
    assert read == made
    assert read.digest == made.digest


def test_neither_extremes_nor_integers_hold_what_they_are_made_of(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    noise((2048, 4096)).tofile(path)
    source = Mapped(path, 0, E.f32, (2048, 4096))
    tracemalloc.start()
    least, most = extremes(source, (2048, 1))
    made = Quantized(source, E.u8, InMemory((most - least) / 255), InMemory(np.zeros((2048, 1), np.uint8)))
    assert sum(len(piece) for piece in made.chunks()) == source.size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * PIECE
