from __future__ import annotations

from pathlib import Path

from modelbuild.stages.history import History
from modelbuild.stages.job import Job
from modelbuild.stages.load import load
from modelbuild.stages.package import package

ONE = Job(load, "one")


def test_the_latest_key_comes_first_and_each_once(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    for key in ("a", "b", "a", "a"):
        history.note(ONE, key)
    assert history.earlier(ONE) == ["a", "b"]
    assert History(tmp_path / "history").earlier(ONE) == ["a", "b"]


def test_a_stage_and_a_subject_have_keys_of_their_own(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.note(ONE, "a")
    history.note(Job(load, "one and more"), "b")
    history.note(Job(package, "one"), "c")
    assert [history.earlier(job) for job in (ONE, Job(load, "one and more"), Job(package, "one"))] == [
        ["a"], ["b"], ["c"],
    ]  # fmt: skip


def test_what_another_process_notes_is_seen(tmp_path: Path) -> None:
    here, there = History(tmp_path / "history"), History(tmp_path / "history")
    here.note(ONE, "a")
    there.note(ONE, "b")
    assert here.earlier(ONE) == ["b", "a"]


def test_only_the_last_few_are_remembered(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    for n in range(20):
        history.note(ONE, f"k{n}")
    assert history.earlier(ONE) == [f"k{n}" for n in range(19, 11, -1)]


def test_a_journal_of_what_is_out_of_date_is_cleared_out(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History(path)
    history.note(Job(load, "other"), "x")
    for n in range(3_000):
        history.note(ONE, f"k{n}")
    before = path.read_bytes()
    assert before.count(b"\n") < 2_100
    found = History(path)
    assert found.earlier(ONE) == history.earlier(ONE) == [f"k{n}" for n in range(2_999, 2_991, -1)]
    assert found.earlier(Job(load, "other")) == ["x"]
    assert path.read_bytes() == before  # whoever looks leaves no trace


def test_without_a_journal_a_process_remembers_for_itself() -> None:
    history = History(None)
    history.note(ONE, "a")
    assert history.earlier(ONE) == ["a"]
