from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelbuild.tensor.shape import (
    UNKNOWN,
    Dim,
    Expr,
    bounds,
    broadcast,
    decide_equal,
    decide_less,
    larger,
    merge,
    product,
    same,
    show_shape,
    smaller,
)
from modelbuild.tensor.shape_text import parse_shape

S, B, T = Expr.symbol("S"), Expr.symbol("B", 1, 8), Expr.symbol("T", 4)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (S * 64 // 64, S),
        (S + 1 - 1, S),
        (S - S, 0),
        (B * S * 1024 // (B * S * 16), 64),
        (B * S * 1024 // 1024, B * S),
        ((S * 2 + 4) // 2, S + 2),
        (S * B, B * S),
        (3 - S + S, 3),
        (S * 0, 0),
        (UNKNOWN * 2, UNKNOWN),
        (larger(B, 0), B),
        (smaller(B, 100), B),
        (larger(S, S + 1), S + 1),
        (product((2, 3, S)), S * 6),
        (product((0, UNKNOWN)), 0),
    ],
)
def test_equal_dimensions_have_one_form(made: Dim, expected: Dim) -> None:
    assert made == expected


def test_unknown_dimensions_are_never_the_same() -> None:
    assert not same(UNKNOWN, UNKNOWN)
    assert same(S, S)


def test_bounds_follow_arithmetic() -> None:
    assert bounds(B * 3 + 1) == (4, 25)
    assert bounds(S) == (0, None)
    assert bounds(10 - B) == (2, 9)
    assert bounds(T // 2) == (2, None)
    assert bounds(larger(B, T)) == (4, None)
    assert bounds(UNKNOWN) == (None, None)


def test_comparisons_are_decided_by_bounds() -> None:
    assert decide_equal(S, -1) is False
    assert decide_equal(S, 3) is None
    assert decide_equal(S + 1, 1 + S) is True
    assert decide_less(B, 9) is True
    assert decide_less(T, 4) is False
    assert decide_less(S, 4) is None


def test_broadcasting_keeps_what_is_known() -> None:
    assert broadcast((1, S, 4), (B, 1, 4)) == (B, S, 4)
    assert broadcast((S,), (3,)) == (3,)
    assert broadcast((S,), (T,)) == (UNKNOWN,)
    assert broadcast(None, (3,)) is None
    with pytest.raises(ValueError, match=r"cannot broadcast \[2\] with \[3\]"):
        broadcast((2,), (3,))


def test_merging_prefers_numbers_and_refuses_contradictions() -> None:
    assert merge((UNKNOWN, S, 3), (2, 4, S)) == (2, 4, 3)
    with pytest.raises(ValueError, match="differ"):
        merge((2,), (3,))
    with pytest.raises(ValueError, match="differ in rank"):
        merge((2,), (2, 3))


@pytest.mark.parametrize(
    "shape", [None, (), (1, 2), (S, B, 2 * S + 1), (B * S // 3,), (larger(S, T), UNKNOWN), (3 - S,)]
)
def test_shapes_are_read_as_they_are_written(shape: tuple[Dim, ...] | None) -> None:
    assert parse_shape(show_shape(shape)[1:-1]) == shape


@pytest.mark.parametrize("text", ["1,,2", "S<1", "(S", "*", "1 2", "max(1)"])
def test_nonsense_is_no_shape(text: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        parse_shape(text)


numbers = st.integers(0, 50)


@given(numbers, numbers, st.integers(1, 9), st.integers(-9, 9))
def test_expressions_mean_what_numbers_mean(s: int, b: int, k: int, c: int) -> None:
    """Whatever a canonical form hides, putting numbers in gives what numbers give."""

    def formula(s: Dim, b: Dim) -> Dim:
        return ((s * k + b) * b - c * s) // k + larger(s, b + c) * 2 - smaller(s * b, 7) % 4

    made = formula(Expr.symbol("s"), Expr.symbol("b"))
    assert evaluate(str(made), s, b) == formula(s, b)


def evaluate(written: str, s: int, b: int) -> int:
    """The value of a dimension's text, read by a reader of its own."""
    read = parse_shape(written.replace("s", str(s)).replace("b", str(b)))
    assert read is not None
    (value,) = read
    assert isinstance(value, int)
    return value
