"""JUnit XML, which CI servers show as tests: a suite a model, a case an artifact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from modelbuild.ci.outcome import Outcome, counts

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Iterable[Outcome]) -> bytes:
    """One document; its times are what was spent on stages, so a build that did nothing gives the same bytes again."""
    ordered = sorted(outcomes, key=lambda outcome: str(outcome.variant))
    top = ET.Element("testsuites", {"name": "modelbuild", **_totals(ordered)})
    for model, group in groupby(ordered, key=lambda outcome: outcome.variant.model):
        members = list(group)
        suite = ET.SubElement(top, "testsuite", {"name": model, **_totals(members)})
        for outcome in members:
            suite.append(_case(outcome))
    ET.indent(top)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n%s\n' % ET.tostring(top, "unicode").encode()


def _totals(outcomes: Sequence[Outcome]) -> dict[str, str]:
    number = counts(outcomes)
    return {
        "tests": str(len(outcomes)),
        "failures": str(number["failed"]),
        "errors": "0",
        "skipped": str(number["skipped"]),
        "time": _seconds(sum(outcome.seconds for outcome in outcomes)),
    }


def _case(outcome: Outcome) -> ET.Element:
    variant = outcome.variant
    case = ET.Element(
        "testcase",
        {
            "classname": variant.model,
            "name": f"{variant.target}:{variant.precision}",
            "time": _seconds(outcome.seconds),
        },
    )
    if outcome.status == "failed":
        failure = ET.SubElement(case, "failure", {"message": _text(outcome.errors[0].partition("\n")[0])})
        failure.text = _text("\n".join(outcome.errors))
    elif outcome.status == "skipped":
        ET.SubElement(case, "skipped", {"message": "not begun: another one failed before"})
    elif outcome.why:
        ET.SubElement(case, "system-out").text = _text(outcome.why)
    return case


def _seconds(time: float) -> str:
    return f"{time:.3f}"


def _text(text: str) -> str:
    """Without the signs that XML cannot hold, not even escaped."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
