"""Random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Expr

F32, I64 = ElementType.f32, ElementType.i64
BOUND = Fact(F32, ())


def test_the_shape_is_an_input() -> None:
    n = Expr.symbol("N")
    shape = Fact.of_elements(I64, (2,), (n, 3))
    assert ops.RandomUniform(F32).infer(shape, BOUND, BOUND).shape == (n, 3)


def test_of_an_unknown_shape_the_rank_is_known() -> None:
    assert ops.RandomUniform(F32).infer(Fact(I64, (3,)), BOUND, BOUND).shape == (UNKNOWN,) * 3


def test_an_empty_shape_is_a_scalar() -> None:
    assert ops.RandomUniform(F32).infer(Fact.of_array(np.array([], np.int64)), BOUND, BOUND).shape == ()


def test_bounds_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="a bound is f32"):
        ops.RandomUniform(ElementType.f16).infer(Fact(I64, (3,)), BOUND, BOUND)


@pytest.mark.parametrize("batch", [(1,), (4,)])
def test_as_many_classes_are_drawn_as_wanted(batch: tuple[int, ...]) -> None:
    op = ops.Multinomial(I64, with_replacement=True, log_probs=False)
    assert op.infer(Fact(F32, (*batch, 10)), Fact.of_array(np.array([5]))).shape == (*batch, 5)


def test_random_numbers_are_never_folded() -> None:
    assert not ops.RandomUniform.pure
    assert not ops.Multinomial.pure
