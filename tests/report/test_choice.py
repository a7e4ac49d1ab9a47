from __future__ import annotations

from typing import Any

from test_page import artifact, proof, source, text_of

from modelbuild.report.document import Artifact, Choice
from modelbuild.report.proof import Latency
from modelbuild.report.text import document


def built(precision: str, pair: int, worst: float, **given: Any) -> Artifact:
    measured = given.pop("proof", proof(max_rel_to_peak=worst))
    return artifact("m", precision=precision, pair=pair, proof=measured, **given)


LADDER = (built("FP32", 400, 1e-7), built("FP16", 200, 1e-4), built("INT8", 100, 5e-2))


def choice(*artifacts: Artifact, **limits: float) -> Choice:
    stated = source()
    (found,) = document(artifacts, {"m": type(stated)(**{**asdict(stated), "limits": limits})}).choices
    return found


def asdict(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def test_the_smallest_precision_within_a_stated_default_is_named() -> None:
    found = choice(*LADDER)
    assert (found.smallest, found.said_by, found.tolerance) == ("FP16", "default", {"max_rel": 0.01, "cosine": 0.999})
    assert found.exceeded == {"INT8": ("output 'y': max_rel is 0.05, at most 0.01 is asked",)}


def test_the_manifests_tolerance_comes_first() -> None:
    found = choice(*LADDER, max_rel=0.1)
    assert (found.smallest, found.said_by) == ("INT8", "manifest")


def test_a_limit_on_size_is_no_tolerance() -> None:
    assert choice(*LADDER, max_size=1).said_by == "default"


def test_where_nothing_is_good_enough_nothing_is_named() -> None:
    assert choice(*LADDER, max_rel=0).smallest is None


def test_what_was_not_proved_is_not_chosen() -> None:
    assert choice(built("FP32", 400, 1e-7), built("FP16", 200, 0, proof=None)).smallest == "FP32"


def test_what_failed_is_compared_but_not_chosen() -> None:
    failed = built("FP16", 200, 1e-4, status="failed", errors=("too slow",), files={})
    found = choice(built("FP32", 400, 1e-7), failed)
    assert (found.smallest, found.among) == ("FP32", 2)


def test_a_target_has_a_choice_of_its_own() -> None:
    gpu = artifact("m", "gpu", "FP16", pair=200, proof=proof())
    report = document([*LADDER, gpu], {"m": source()})
    assert [(found.target, found.among) for found in report.choices] == [("cpu", 3), ("gpu", 1)]


# ---- on the page ----


def test_the_page_puts_the_precisions_side_by_side() -> None:
    time = (Latency(device="CPU", name="a processor", milliseconds=1.234, runs=9),)
    fast = built("FP16", 51_300_000, 6.2e-4, latencies=time)
    text = text_of(document([built("FP32", 102_400_000, 4.1e-7, latencies=time), fast], {"m": source()}))
    assert "Choosing the right precision FP16  is the smallest" in text
    assert all(shown in text for shown in ("102 MB", "51.3 MB", "6.2e-04", "1.23 ms", "50 %", "time on CPU"))


def test_where_there_is_no_choice_there_is_no_table() -> None:
    assert "Choosing" not in text_of(document([LADDER[0]], {"m": source()}))


def test_that_nothing_keeps_to_the_tolerance_is_said() -> None:
    report = document([built("FP32", 4, 0.5), built("FP16", 2, 0.5)], {"m": source()})
    assert "No precision keeps to the tolerance" in text_of(report)
