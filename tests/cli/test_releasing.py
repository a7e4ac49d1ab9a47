"""What CI servers call, as they call it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sites import Site, write_model

from modelbuild.cli import run
from modelbuild.errors import BuildError, CheckFailed, StageError
from modelbuild.manifest import Variant
from modelbuild.project import Checkout, Made, delivery
from modelbuild.project.judging import Judges

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Judges, "can_prove", False)
    made = Site(tmp_path / "site", known_code)
    monkeypatch.chdir(made.root)
    return made


def artifacts(site: Site) -> dict[str, bytes]:
    return {name: data for name, data in site.contents("build").items() if name.count("/") > 1}


def report_without_times(site: Site) -> dict[str, Any]:
    """Times are those of when something was made."""
    said: dict[str, Any] = json.loads((site.root / "build" / "report.json").read_text())
    for artifact in said["artifacts"]:
        artifact["stages"] = [stage["name"] for stage in artifact["stages"]]
    return said


def events(capture: Capture) -> list[dict[str, object]]:
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


# ---- doit and the command ----


def test_doit_and_the_command_leave_the_same(built_site: Site, tmp_path: Path, known_code: Path) -> None:
    other = Site(tmp_path / "other" / "site", known_code)
    done = other.doit("-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert artifacts(other) == artifacts(built_site)
    assert report_without_times(other) == report_without_times(built_site)


def test_after_doit_the_command_has_nothing_to_do(site: Site, capsys: Capture) -> None:
    assert site.doit().returncode == 0
    before = site.contents("build")
    assert run(["build"]) == 0
    assert capsys.readouterr().out == "4 up to date\n"
    assert site.contents("build") == before


# ---- parts ----


def test_the_parts_of_a_build_are_the_build(built_site: Site, capsys: Capture) -> None:
    whole = artifacts(built_site)
    found: dict[str, bytes] = {}
    for number in ("1/2", "2/2"):
        shutil.rmtree("build")
        assert run(["build", "--shard", number]) == 0
        mine = artifacts(built_site)
        assert mine
        assert not mine.keys() & found.keys()
        found |= mine
    assert found == whole


def test_more_parts_than_models_leave_some_with_nothing(built_site: Site, capsys: Capture) -> None:
    said = []
    for number in ("1/3", "2/3", "3/3"):
        assert run(["build", "--shard", number]) == 0
        said.append(capsys.readouterr().out)
    assert said == ["2 up to date\n", "2 up to date\n", "nothing to do\n"]


def test_parts_go_by_the_sizes_that_are_locked(built_site: Site, capsys: Capture) -> None:
    built_site.add("three")
    assert run(["build", "--lock"]) == 0
    lock = built_site.root / "models.lock" / "three.json"
    lock.write_text(lock.read_text().replace('"bytes": 144', '"bytes": 99999999'))
    capsys.readouterr()
    assert run(["build", "--shard", "1/2", "--json"]) == 0
    variants = [event["variant"] for event in events(capsys) if event["what"] == "artifact"]
    assert variants == ["three@cpu:FP32", "three@cpu:FP16"]


def test_a_part_writes_only_its_own_locks(built_site: Site) -> None:
    assert run(["build", "--shard", "1/2", "--lock"]) == 0
    assert [path.name for path in (built_site.root / "models.lock").iterdir()] == ["one.json"]
    assert run(["build", "--shard", "2/2", "--lock"]) == 0
    assert run(["build", "--locked"]) == 0


def test_a_source_that_cannot_be_read_stops_no_other_that_is_locked(built_site: Site, capsys: Capture) -> None:
    assert run(["build", "--lock"]) == 0
    (built_site.root / "src" / "one.onnx").unlink()
    shutil.rmtree(built_site.root / "build")
    capsys.readouterr()
    assert run(["build", "--locked", "--keep-going", "--json"]) == 1
    told = {(str(event["variant"])[:3], event["status"]) for event in events(capsys) if event["what"] == "artifact"}
    assert told == {("one", "failed"), ("two", "hit")}


def test_no_part_is_a_wrong_option(built_site: Site) -> None:
    assert run(["build", "--shard", "3/2"]) == 3


# ---- events and results ----


def test_each_artifact_ends_with_an_event_and_the_build_with_numbers(built_site: Site, capsys: Capture) -> None:
    write_model(built_site.root / "src" / "one.onnx", op="NoSuchOperator")
    assert run(["build", "--keep-going", "--json"]) == 1
    told = events(capsys)
    ends = {event["variant"]: event["status"] for event in told if event["what"] == "artifact"}
    assert ends == {
        "one@cpu:FP32": "failed",
        "one@cpu:FP16": "failed",
        "two@cpu:FP32": "current",
        "two@cpu:FP16": "current",
    }
    failed = next(event for event in told if event.get("status") == "failed")
    assert "NoSuchOperator" in str(failed["errors"])
    assert told[-1] == {"what": "end", "made": 0, "hit": 0, "current": 2, "failed": 2, "skipped": 0}


def test_results_are_written_when_a_build_fails(built_site: Site) -> None:
    write_model(built_site.root / "src" / "one.onnx", op="NoSuchOperator")
    assert run(["build", "--junit", "junit.xml", "--summary", "summary.md"]) == 1
    top = ET.parse("junit.xml").getroot()
    assert (top.get("tests"), top.get("failures"), top.get("skipped")) == ("4", "1", "3")
    text = Path("summary.md").read_text()
    assert text.startswith("### modelbuild: 1 failed, 3 not begun\n")
    assert "NoSuchOperator" in text


def test_what_was_begun_ahead_when_one_fails_is_told(site: Site, capsys: Capture) -> None:
    for n in range(20):
        site.add(f"m{n:02}", op="Mystery" if n == 4 else "Relu")
    assert run(["build", "-n", "2", "--json"]) == 1
    *told, end = events(capsys)
    made = {event["variant"] for event in told if event.get("status") == "made"}
    assert {str(found.folder.relative_to(site.root / "build")) for found in delivery.below(site.root / "build")} == {
        str(name).replace("@", "/").replace(":", "/") for name in made
    }
    assert end["made"] == len(made)


@pytest.mark.parametrize("error", [None, CheckFailed("another one")])
def test_what_runs_when_one_fails_is_told_and_nothing_more_is_begun(
    site: Site, error: BuildError | None, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    site.add("three")
    together, later = threading.Barrier(3), threading.Event()

    def make(_: Checkout, variant: Variant) -> Made:
        if variant.precision != "FP32":
            later.set()
            return Made(variant, (), 1000, ())
        together.wait(60)
        if variant.model == "three":
            raise StageError("this one")
        later.wait(0.5)  # long enough for whoever failed to begin another
        if variant.model == "two" and error is not None:
            raise error
        return Made(variant, (), 1000, ())

    monkeypatch.setattr(Checkout, "make", make)
    assert run(["build", "-n", "3", "--json", "--junit", "junit.xml", "--summary", "summary.md"]) == 1
    *told, end = events(capsys)
    status, errors, word = ("hit", [], "from the store") if error is None else ("failed", ["another one"], "failed")
    assert [(event["variant"], event["status"], event["errors"]) for event in told] == [
        ("one@cpu:FP32", "hit", []),
        ("three@cpu:FP32", "failed", ["this one"]),
        ("two@cpu:FP32", status, errors),
    ]
    assert (end["hit"], end["failed"], end["skipped"]) == ((2, 1, 3) if error is None else (1, 2, 3))
    top = ET.parse("junit.xml").getroot()
    assert (top.get("failures"), top.get("skipped")) == (str(end["failed"]), "3")
    assert f"| `two@cpu:FP32` | {word} |" in Path("summary.md").read_text()


def test_the_summary_compares_with_the_lock_of_before(built_site: Site) -> None:
    assert run(["lock"]) == 0
    built_site.models["one"]["precisions"] = ["FP32"]
    built_site.models["one"]["license"] = "MIT"
    built_site.write()
    assert run(["build", "--lock", "--summary", "summary.md"]) == 0
    text = Path("summary.md").read_text()
    assert "| `one@cpu:FP32` | made |" in text
    assert "+1 B (+0.0 %)" in text
    assert "2 as locked, byte for byte" in text


def test_a_build_that_is_not_as_locked_writes_its_results_too(built_site: Site) -> None:
    assert run(["lock"]) == 0
    lock = built_site.root / "models.lock" / "one.json"
    lock.write_text(lock.read_text().replace('"bytes": 144', '"bytes": 100'))
    assert run(["build", "--locked", "--summary", "summary.md"]) == 4
    assert "+44 B" in Path("summary.md").read_text()


def test_summaries_of_several_steps_follow_each_other(built_site: Site) -> None:
    Path("summary.md").write_text("### earlier\n")
    assert run(["build", "--summary", "summary.md"]) == 0
    assert Path("summary.md").read_text().startswith("### earlier\n### modelbuild: 4 up to date\n")


def test_results_that_cannot_be_written_are_said_in_a_line(built_site: Site, capsys: Capture) -> None:
    assert run(["build", "--junit", "nowhere/junit.xml"]) == 2
    assert "nowhere/junit.xml: no such file or directory" in capsys.readouterr().err
