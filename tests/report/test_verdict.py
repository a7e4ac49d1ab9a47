from __future__ import annotations

import pytest
from test_page import proof

from modelbuild.manifest.quality import Check
from modelbuild.report.proof import Latency
from modelbuild.report.verdict import broken


def latency(ratio: float | None) -> Latency:
    return Latency(device="CPU", name="a processor", milliseconds=2.0, runs=9, ratio=ratio)


def test_what_keeps_to_all_limits_is_not_spoken_of() -> None:
    check = Check(1, 0.01, 0.999, 1, 2000, 1.5)
    assert list(broken(check, size=2000, proof=proof(max_abs=1.0), latency=latency(1.5))) == []


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check(max_abs=0.4), "output 'y': max_abs is 0.5, at most 0.4 is asked"),
        (Check(max_rel=1e-4), "output 'y': max_rel is 0.001, at most 0.0001 is asked"),
        (Check(cosine=0.99999), "output 'y': cosine is 0.9999, at least 0.99999 is asked"),
        (Check(max_size=1999), "the pair has 2000 bytes (2.00 kB), max_size allows 1999"),
        (Check(max_latency_ratio=1), "it takes 1.5 times as long as in FP32, max_latency_ratio allows 1"),
    ],
)
def test_a_limit_that_is_exceeded_is_named_with_what_was_found_and_asked(check: Check, said: str) -> None:
    assert list(broken(check, size=2000, proof=proof(), latency=latency(1.5))) == [said]


def test_all_problems_are_told_at_once() -> None:
    assert len(list(broken(Check(max_abs=0, cosine=1, max_size=1), size=2, proof=proof()))) == 3


def test_what_was_not_proved_keeps_to_no_tolerance() -> None:
    assert list(broken(Check(cosine=0.5))) == ["its answers could not be held against the source model's"]


def test_a_size_is_judged_without_a_proof() -> None:
    assert list(broken(Check(max_size=10), size=10)) == []


def test_a_difference_that_is_no_number_exceeds_every_limit() -> None:
    assert list(broken(Check(max_abs=9e9), proof=proof(max_abs=float("nan")))) == [
        "output 'y': max_abs is no number, at most 9e+09 is asked"
    ]


def test_top1_of_outputs_without_a_choice_cannot_be_kept() -> None:
    assert list(broken(Check(top1=0.5), proof=proof(top1=None))) == [
        "top1 0.5 is asked, but no output has elements to choose from"
    ]


def test_a_time_that_was_not_taken_keeps_to_no_limit() -> None:
    assert "no time was measured" in next(broken(Check(max_latency_ratio=2), latency=latency(None)))
