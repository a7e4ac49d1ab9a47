from __future__ import annotations

from modelbuild.manifest import Variant
from modelbuild.project import abreast
from modelbuild.targets import BUILT_IN, Precision


def variant(model: str, precision: Precision) -> Variant:
    return Variant(model, BUILT_IN["cpu"], precision)


VARIANTS = [variant(model, precision) for model in "abc" for precision in (Precision.FP32, Precision.FP16)]


def test_two_that_begin_together_are_of_two_models() -> None:
    assert [found.model for found in abreast(VARIANTS, 2)] == ["a", "b", "a", "b", "c", "c"]


def test_every_variant_comes_once() -> None:
    assert sorted(map(str, abreast(VARIANTS[1:], 4))) == sorted(map(str, VARIANTS[1:]))


def test_one_model_at_a_time_is_the_order_given() -> None:
    assert list(abreast(VARIANTS, 1)) == VARIANTS
