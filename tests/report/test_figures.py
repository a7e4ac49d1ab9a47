from __future__ import annotations

import pytest

from modelbuild.report.figures import amount, difference, plural, seconds, size


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (12_345, "12.3 k"), (999_499, "999 k"), (1_170_000, "1.17 M"),
     (4_082_116_200, "4.08 G"), (3 * 10**15, "3000 T")],
)  # fmt: skip
def test_an_amount_has_three_digits(number: int, text: str) -> None:
    assert amount(number) == text


def test_a_rounded_amount_takes_the_next_letter() -> None:
    assert amount(999_999) == "1.00 M"


def test_a_size_is_in_bytes() -> None:
    assert [size(count) for count in (7, 4_750_000)] == ["7 B", "4.75 MB"]


def test_a_time_has_the_digits_that_matter() -> None:
    assert [seconds(time) for time in (0.1234, 1234.5)] == ["0.12 s", "1,234 s"]


def test_a_difference_is_told_by_its_magnitude() -> None:
    assert [difference(number) for number in (0.0, 1.23e-6, None)] == ["0", "1.2e-06", "not a number"]


def test_one_is_not_many() -> None:
    assert [plural(count, "model") for count in (0, 1, 2)] == ["0 models", "1 model", "2 models"]
