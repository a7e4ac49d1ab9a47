from __future__ import annotations

from xml.etree import ElementTree as ET

from modelbuild.ci.junit import junit
from modelbuild.ci.outcome import Outcome, all_outcomes
from modelbuild.ci.summary import summary
from modelbuild.errors import SourceError
from modelbuild.manifest import Variant
from modelbuild.report.document import File
from modelbuild.targets import BUILT_IN, Precision
from modelbuild.telling import Row

ONE, TWO, THREE, FOUR, FIVE = (Variant(f"m{n}", BUILT_IN["cpu"], Precision.FP16) for n in range(5))


def files(size: int, mark: str = "0") -> dict[str, File]:
    return {"m.bin": File(sha256=mark * 64, bytes=size)}


def outcomes() -> tuple[Outcome, ...]:
    error = SourceError("src/m2.onnx: ends | early <b> `here`\nand more")
    error.add_note("at ```\x00\x1b[31m")
    return all_outcomes(
        [ONE, TWO, THREE, FOUR, FIVE],
        {
            ONE: Row(str(ONE), "load emit", "input model changed", 1.5, 1000),
            TWO: Row(str(TWO), "", "", 0.0, 1000),
            THREE: error,
            FOUR: None,
        },
    )


def test_every_artifact_has_an_outcome() -> None:
    assert [outcome.status for outcome in outcomes()] == ["made", "hit", "failed", "current", "skipped"]


# ---- JUnit ----


def test_junit_counts_and_times() -> None:
    top = ET.fromstring(junit(outcomes()))
    assert {name: top.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "1.500",
    }
    assert [suite.get("name") for suite in top] == ["m0", "m1", "m2", "m3", "m4"]


def test_junit_has_a_case_an_artifact() -> None:
    cases = ET.fromstring(junit(outcomes())).findall(".//testcase")
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        (f"m{number}", "cpu:FP16") for number in range(5)
    ]
    assert [[child.tag for child in case] for case in cases] == [["system-out"], [], ["failure"], [], ["skipped"]]


def test_junit_says_why_something_failed_in_xml_that_can_be_read() -> None:
    failure = ET.fromstring(junit(outcomes())).find(".//failure")
    assert failure is not None
    assert failure.get("message") == "src/m2.onnx: ends | early <b> `here`"
    assert failure.text == "src/m2.onnx: ends | early <b> `here`\nand more\nat ```\ufffd\ufffd[31m"


def test_junit_does_not_depend_on_the_order_of_what_ends_first() -> None:
    assert junit(outcomes()) == junit(outcomes()[::-1])


# ---- Markdown ----


def test_the_summary_begins_with_the_numbers() -> None:
    first = summary(outcomes(), {}, {}).splitlines()[0]
    assert first == "### modelbuild: 1 made, 1 from the store, 1 up to date, 1 failed, 1 not begun"


def row(outcome: Outcome, now: dict[str, File] | None, was: dict[str, File] | None) -> list[str]:
    """The cells of the only row; none if there is no row."""
    built = {} if now is None else {outcome.variant: now}
    locked = {} if was is None else {outcome.variant: was}
    rows = [line for line in summary([outcome], built, locked).splitlines() if line.startswith("| `")]
    return [cell.strip() for line in rows for cell in line.split("|")[1:-1]]


def test_a_changed_size_is_held_against_the_lock() -> None:
    made = outcomes()[0]
    assert row(made, files(1_100), files(1_000, "1")) == [
        "`m0@cpu:FP16`",
        "made",
        "1.10 kB",
        "+100 B (+10.0 %)",
        "input model changed",
    ]
    assert row(made, files(500), files(1_000, "1"))[3] == "−500 B (-50.0 %)"


def test_other_bytes_of_the_same_size_are_a_change() -> None:
    assert row(outcomes()[3], files(1_000), files(1_000, "1"))[1:4] == [
        "up to date",
        "1.00 kB",
        "same size, other bytes",
    ]


def test_what_is_not_locked_is_said() -> None:
    assert row(outcomes()[0], files(1_000), None)[3] == "not locked"


def test_what_is_as_locked_is_a_number_only() -> None:
    made, _, _, current, _ = outcomes()
    same = {made.variant: files(1), current.variant: files(1)}
    text = summary([made, current], same, same)
    assert "2 as locked, byte for byte" in text
    assert "|" not in text


def test_a_failure_is_shown_in_full_and_cannot_break_out() -> None:
    text = summary(outcomes(), {}, {})
    assert row(outcomes()[2], None, files(1)) == [
        "`m2@cpu:FP16`",
        "failed",
        "",
        "",
        "src/m2.onnx: ends \\",
        "early \\<b\\> \\`here\\`",
    ]
    assert "<summary>m2@cpu:FP16 failed</summary>\n\n````\nsrc/m2.onnx" in text


def test_a_thousand_changes_stay_readable() -> None:
    many = [Outcome(Variant(f"m{n}", BUILT_IN["cpu"], Precision.FP16), "made") for n in range(1000)]
    text = summary(many, {outcome.variant: files(1) for outcome in many}, {})
    assert "… and 800 more" in text
    assert len(text) < 65_000
