from __future__ import annotations

import io

import pytest

from modelbuild.errors import Bug, SourceError
from modelbuild.stages import Event
from modelbuild.telling import Row, Screen, failure, table, tally

MADE = Row("m@cpu:FP32", "load emit", "input model changed", 1.5, 2_000_000)
HIT = Row("n@cpu:FP32", "", "", 0.0, 10)


def test_a_failure_is_one_line_and_its_notes() -> None:
    error = SourceError("m.onnx: is empty")
    error.add_note("in load of m\nat the start")
    assert failure(error) == "m.onnx: is empty\n  in load of m\n  at the start"


def test_a_bug_shows_where_it_is() -> None:
    with pytest.raises(Bug) as raised:
        raise Bug("broken")
    assert "Traceback" in failure(raised.value)


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBUILD_TRACEBACK", "1")
    assert "SourceError: m.onnx" in failure(SourceError("m.onnx: is empty"))


def test_a_row_says_what_ran_and_why() -> None:
    assert str(MADE) == "made    m@cpu:FP32  2.00 MB  1.50 s  load emit: input model changed"
    assert str(HIT) == "hit     n@cpu:FP32  10 B  nothing had to run"


def test_a_row_ends_with_what_a_person_should_know() -> None:
    row = MADE._replace(notes=("w stays f32", "x is frozen"))
    assert str(row).splitlines()[1:] == ["        w stays f32", "        x is frozen"]


def test_a_table_lists_what_was_made_and_counts_the_rest() -> None:
    lines = table([MADE, HIT], 3, ["o@cpu:FP32"]).splitlines()
    assert lines[1].split() == ["m@cpu:FP32", "1.50", "s", "2.00", "MB", "input", "model", "changed"]
    assert lines[2:] == ["1 made, 1 from the store, 3 up to date, 1 failed", "failed: o@cpu:FP32"]


def test_a_tally_leaves_out_what_did_not_happen() -> None:
    assert tally(0, 0, 4, 0) == "4 up to date"
    assert tally(0, 0, 0, 0) == "nothing to do"


def test_where_nobody_watches_lines_are_plain() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.hear(Event("run", "load", "m"))
    screen.hear(Event("waited", "load", "m", seconds=2.0))
    screen.hear(Event("damaged", why="blob abc is gone"))
    screen.close()
    assert stream.getvalue() == "waited  m  2.00 s for another process at load\ndamaged blob abc is gone\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("ci", "moves"), [(None, True), ("true", False)])
def test_a_terminal_is_told_what_runs_but_not_in_ci(
    ci: str | None, moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    stream = Terminal()
    screen = Screen(stream)
    screen.hear(Event("run", "load", "resnet"))
    screen.close()
    assert ("resnet" in stream.getvalue()) is moves
