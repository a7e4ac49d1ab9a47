"""A build in Markdown, for a pull request: what changed against the lock files, and what failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelbuild.ci.outcome import Outcome, Status, counts
from modelbuild.report.figures import size

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.release.lock import Files

_WORDS: Mapping[Status, str] = {
    "made": "made",
    "hit": "from the store",
    "current": "up to date",
    "failed": "failed",
    "skipped": "not begun",
}
_HEAD = ("| artifact | | size | against the lock | why |", "|---|---|--:|--:|---|")
_MOST_ROWS = 200
_LONGEST = 200
_MOST_FAILURES = 20
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$@-])")


def summary(outcomes: Sequence[Outcome], built: Mapping[Variant, Files], locked: Mapping[Variant, Files]) -> str:
    """``built`` are the files as they are now, ``locked`` as they are locked; each only where there are some."""
    number = counts(outcomes)
    tally = [f"{number[status]} {word}" for status, word in _WORDS.items() if number[status]]
    same = [outcome for outcome in outcomes if _is_as_locked(outcome, built, locked)]
    others = (outcome for outcome in outcomes if not _is_as_locked(outcome, built, locked))
    told = [outcome for outcome in others if outcome.status != "skipped"]
    rows = [_row(outcome, built, locked) for outcome in told]
    failures = [outcome for outcome in outcomes if outcome.status == "failed"]
    parts = [f"### modelbuild: {', '.join(tally) or 'nothing to do'}"]
    if rows:
        parts.append("\n".join([*_HEAD, *rows[:_MOST_ROWS]]))
    if len(rows) > _MOST_ROWS:
        parts.append(f"… and {len(rows) - _MOST_ROWS} more")
    if same:
        parts.append(f"{len(same)} as locked, byte for byte")
    parts += [_failure(outcome) for outcome in failures[:_MOST_FAILURES]]
    return "\n\n".join(parts) + "\n"


def _is_as_locked(outcome: Outcome, built: Mapping[Variant, Files], locked: Mapping[Variant, Files]) -> bool:
    files = built.get(outcome.variant)
    return files is not None and files == locked.get(outcome.variant) and outcome.status != "failed"


def _row(outcome: Outcome, built: Mapping[Variant, Files], locked: Mapping[Variant, Files]) -> str:
    now, was = built.get(outcome.variant), locked.get(outcome.variant)
    measured = size(_size(now)) if now is not None else ""
    why = outcome.errors[0] if outcome.errors else outcome.why
    cells = (f"`{outcome.variant}`", _WORDS[outcome.status], measured, _against(now, was), _inline(why))
    return f"| {' | '.join(cells)} |"


def _against(now: Files | None, was: Files | None) -> str:
    if now is None:
        return ""
    if was is None:
        return "not locked"
    if now == was:
        return "as locked"
    change = _size(now) - _size(was)
    if not change:
        return "same size, other bytes"
    return f"{'+' if change > 0 else '−'}{size(abs(change))} ({100 * change / max(1, _size(was)):+.1f} %)"


def _size(files: Files) -> int:
    return sum(file.bytes for file in files.values())


def _failure(outcome: Outcome) -> str:
    """All that is known of it, folded; in a fence that nothing in it can close."""
    text = "\n".join(outcome.errors)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"<details><summary>{outcome.variant} failed</summary>\n\n{fence}\n{text}\n{fence}\n\n</details>"


def _inline(text: str) -> str:
    """A line of text as nothing but text."""
    first, _, _ = text.partition("\n")
    return _MARKS.sub(r"\\\1", first[:_LONGEST] + ("…" if len(first) > _LONGEST else ""))
