from __future__ import annotations

from modelbuild.spelling import did_you_mean, quote


def test_a_near_word_is_suggested_in_its_own_spelling() -> None:
    assert did_you_mean("GPUU", ["gpu", "cpu"]) == " (did you mean 'gpu'?)"


def test_what_there_is_is_listed_where_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == " (there is a, b)"


def test_a_long_list_is_cut() -> None:
    assert did_you_mean("zzz", [f"a{n:02}" for n in range(20)]).endswith("a11, …)")


def test_nothing_is_suggested_where_there_is_nothing() -> None:
    assert did_you_mean("zzz", []) == ""


def test_a_quote_is_short_and_printable() -> None:
    assert quote("\x1b[31m") == r"'\x1b[31m'"
    assert len(quote("x" * 1000)) == 62
