from __future__ import annotations

import numpy as np
import pytest

from modelbuild.runtime.inputs import INDICES, WORDS, make
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr


def one(dtype: ElementType, *shape: Dim, name: str = "x", seed: int = 0) -> Array:
    return make({name: Fact(dtype, shape)}, seed=seed)[name]


def test_the_numbers_are_the_same_on_every_machine_and_with_every_numpy() -> None:
    assert one(ElementType.f32, 3).tolist() == [-0.22751390933990479, -0.6831716299057007, 0.3647688627243042]


def test_an_input_does_not_depend_on_the_others() -> None:
    fact = Fact(ElementType.f32, (8,))
    assert (make({"a": fact, "b": fact}, seed=1)["b"] == make({"b": fact}, seed=1)["b"]).all()


def test_names_and_seeds_give_other_numbers() -> None:
    base = one(ElementType.f32, 8)
    assert (one(ElementType.f32, 8, name="y") != base).any()
    assert (one(ElementType.f32, 8, seed=1) != base).any()


@pytest.mark.parametrize("dtype", [ElementType.f32, ElementType.f16, ElementType.bf16, ElementType.f64])
def test_real_numbers_lie_around_zero(dtype: ElementType) -> None:
    noise = one(dtype, 1000)
    assert ElementType.of(noise.dtype) is dtype
    numbers = noise.astype(np.float64)
    assert -1 <= numbers.min() < -0.9
    assert 0.9 < numbers.max() <= 1
    assert abs(numbers.mean()) < 0.1


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [
        (ElementType.i64, 0, INDICES - 1),
        (ElementType.i32, 0, INDICES - 1),
        (ElementType.u8, 0, 255),
        (ElementType.i8, -128, 127),
        (ElementType.i4, -8, 7),
        (ElementType.boolean, 0, 1),
    ],
)
def test_integers_lie_where_models_expect_them(dtype: ElementType, least: int, most: int) -> None:
    noise = one(dtype, 5000)
    assert ElementType.of(noise.dtype) is dtype
    numbers = noise.astype(np.int64)
    assert (numbers.min(), numbers.max()) == (least, most)


def test_strings_are_words() -> None:
    assert set(one(ElementType.string, 100).tolist()) == set(WORDS)


def test_a_mask_hides_nothing() -> None:
    assert one(ElementType.i64, 2, 3, name="attention_mask").tolist() == [[1, 1, 1], [1, 1, 1]]


def test_dimensions_are_given_by_symbol_or_are_one() -> None:
    n, s = Expr.symbol("N", 0, 4), Expr.symbol("S", 3)
    facts = {"x": Fact(ElementType.f32, (n, s, UNKNOWN, 5)), "y": Fact(ElementType.f32, (n,))}
    made = make(facts, seed=0, extents={"N": 9})
    assert (made["x"].shape, made["y"].shape) == ((4, 3, 1, 5), (4,))


def test_an_unknown_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="input 'x': the rank is not known"):
        make({"x": Fact(ElementType.f32)}, seed=0)
