from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sites import REPOSITORY, Site, write_model

from modelbuild.cli import run
from modelbuild.errors import ExitCode
from modelbuild.manifest.schema import schema_text
from modelbuild.project.judging import Judges

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Judges, "can_prove", False)
    made = Site(tmp_path / "site", known_code)
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def built(site: Site, capsys: Capture) -> Site:
    assert run(["build"]) == 0
    capsys.readouterr()
    list(site.events())
    return site


# ---- build, plan, status ----


def test_build_makes_what_is_asked_for(site: Site, capsys: Capture) -> None:
    assert run(["build", "one@cpu:FP32"]) == 0
    said = capsys.readouterr()
    assert "1 made" in said.out
    assert "made    one@cpu:FP32" in said.err
    assert sorted(path.name for path in (site.root / "build").iterdir()) == ["one", "report.html", "report.json"]


def test_a_second_build_touches_nothing(built: Site, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    # A source that was too young to be noted by its looks is noted once it has settled: here none does in between.
    monkeypatch.setattr("modelbuild.memo.SETTLING", 600.0)
    before = built.files()
    assert run(["build"]) == 0
    assert capsys.readouterr().out == "4 up to date\n"
    assert built.files() == before


def test_events_are_printed_one_a_line(site: Site, capsys: Capture) -> None:
    assert run(["build", "one@cpu:FP32", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["stage"] for event in events if event["what"] == "made"][:2] == ["load", "optimize"]


def test_several_at_once_give_the_same_bytes(built: Site) -> None:
    before = built.contents("build/one")
    (built.root / "build").rename(built.root / "first")
    (built.root / "cache" / "store").rename(built.root / "first-store")
    assert run(["build", "one", "-n", "2"]) == 0
    assert built.contents("build/one") == before


def test_a_failure_ends_the_build_with_its_code(site: Site, capsys: Capture) -> None:
    write_model(site.root / "src" / "one.onnx", op="NoSuchOperator")
    assert run(["build"]) == 1
    assert "failed: one@cpu:FP32" in capsys.readouterr().out
    assert not site.folder("two").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_keep_going_builds_the_others(site: Site, capsys: Capture, workers: str) -> None:
    write_model(site.root / "src" / "one.onnx", op="NoSuchOperator")
    assert run(["build", "--keep-going", "-n", workers]) == 1
    assert "2 made, 2 failed" in capsys.readouterr().out
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert [a["status"] for a in said["artifacts"]] == ["failed", "failed", "built", "built"]


def test_plan_says_what_would_run_and_runs_nothing(built: Site, capsys: Capture) -> None:
    write_model(built.root / "src" / "one.onnx", scale=7.0)
    before = built.files()
    assert run(["plan", "one@cpu:FP32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"one@cpu:FP32  about \d\.\d\d s", lines[0])
    assert re.fullmatch(r"  load        input model changed  \(\d\.\d\d s last time\)", lines[1])
    assert lines[-1] == lines[0].replace("one@cpu:FP32 ", "1 to build,")
    assert built.files() == before


def test_plan_counts_what_artifacts_share_once(built: Site, capsys: Capture) -> None:
    write_model(built.root / "src" / "one.onnx", scale=7.0)
    assert run(["plan", "one", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    taken = {step["stage"]: step["seconds"] for step in second["steps"] if step["seconds"] is not None}
    assert {"load", "optimize"} < taken.keys()
    assert first["seconds"] == pytest.approx(sum(step["seconds"] or 0 for step in first["steps"]))
    assert second["seconds"] == pytest.approx(sum(taken.values()) - taken["load"] - taken["optimize"])


def test_plan_says_what_was_never_timed(site: Site, capsys: Capture) -> None:
    assert run(["plan", "one@cpu:FP32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "one@cpu:FP32  never timed"
    assert lines[-1] == "1 to build, never timed"


def test_explain_names_the_field_that_changed(built: Site, capsys: Capture) -> None:
    built.models["one"]["inputs"] = {"x": {"shape": [4, 8]}}
    built.write()
    assert run(["explain", "one@cpu:FP32"]) == 0
    assert "load: run, params.inputs: [] -> " in capsys.readouterr().out


@pytest.fixture
def calibrated(site: Site) -> Site:
    """Of model ``one`` INT8 is asked for, which measures activations of the model in FP32."""
    np.save(site.root / "examples.npy", np.ones((4, 1, 8), np.float32))
    site.models["one"] |= {"precisions": ["FP16-INT8"], "calibration": {"data": ["*.npy"]}}
    site.write()
    return site


@pytest.mark.parametrize(("command", "listed"), [("explain", "stages"), ("plan", "steps")])
def test_all_that_is_before_an_artifact_is_named_once(
    calibrated: Site, command: str, listed: str, capsys: Capture
) -> None:
    assert run([command, "one", "--json"]) == 0
    named = [f"{one['stage']} {one['subject']}" for one in json.loads(capsys.readouterr().out)[listed]]
    exact, own = "one@cpu:FP32", "one@cpu:FP16-INT8"
    assert named[:4] == ["load one", "optimize one", f"specialize {exact}", f"emit {exact}"]
    after = ["quantize", "specialize", "describe", "emit", "package", *(["deliver"] if command == "plan" else [])]
    assert named[4:] == [f"{stage} {own}" for stage in after]


@pytest.mark.parametrize("command", ["explain", "plan"])
def test_a_stage_of_another_artifact_is_told_from_ones_own(calibrated: Site, command: str, capsys: Capture) -> None:
    assert run([command, "one"]) == 0
    said = capsys.readouterr().out
    assert "\n  specialize of one@cpu:FP32" in said
    assert "\n  quantize" in said
    assert "\n  quantize of" not in said


def test_what_makes_an_artifact_stale_is_explained_whatever_it_is(
    built: Site, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    built.models["one"]["check"] = {"max_size": "1MB"}
    built.write()
    assert run(["status"]) == 4
    assert "stale   one@cpu:FP32  check of one@cpu:FP32: never built" in capsys.readouterr().out
    run(["explain", "one"])
    assert "  check: run, never built" in capsys.readouterr().out


def test_status_is_four_when_something_is_stale(built: Site, capsys: Capture) -> None:
    assert run(["status"]) == 0
    (built.folder() / "one.bin").unlink()
    assert run(["status"]) == 4
    assert "stale   one@cpu:FP32  one.bin is missing" in capsys.readouterr().out


def test_one_orphan_is_no_plural(built: Site, capsys: Capture) -> None:
    built.models["two"]["precisions"] = ["FP32"]
    built.write()
    run(["status"])
    assert capsys.readouterr().out.endswith(" stale, 1 orphan\n")


def test_status_lists_orphans_and_clean_removes_them(built: Site, capsys: Capture) -> None:
    del built.models["two"]
    built.write()
    assert run(["status"]) == 0
    assert "orphan  build/two/cpu/FP16" in capsys.readouterr().out
    assert run(["clean", "--orphans"]) == 0
    assert not (built.root / "build" / "two").exists()
    assert built.folder("one").exists()


# ---- the manifest ----


def test_list_shows_the_matrix(site: Site, capsys: Capture) -> None:
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "     cpu\none  FP32 FP16\ntwo  FP32 FP16\n"


def test_check_tells_all_problems_at_once(site: Site, capsys: Capture) -> None:
    site.manifest.write_text("version: 1\nmodels:\n  a: {sauce: 1}\n  b: {source: {path: ../x.onnx}}\n")
    assert run(["check"]) == 3
    said = capsys.readouterr().err
    assert "models.yaml:3" in said
    assert "models.yaml:4" in said
    assert "Traceback" not in said


def test_an_unknown_selector_is_an_error_with_a_suggestion(site: Site, capsys: Capture) -> None:
    assert run(["build", "onw"]) == 3
    assert "did you mean 'one'?" in capsys.readouterr().err


def test_an_unknown_option_is_an_error(site: Site, capsys: Capture) -> None:
    assert run(["build", "--frobnicate"]) == 3
    assert "--frobnicate" in capsys.readouterr().err


def test_init_drafts_a_manifest_that_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    write_model(tmp_path / "nets" / "small.onnx")
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == 0
    assert run(["list"]) == 0
    assert "small  FP32 FP16" in capsys.readouterr().out
    assert (tmp_path / "dodo.py").read_text() == (REPOSITORY / "dodo.py").read_text()
    assert run(["init"]) == 3


def test_schema_is_the_one_of_the_types(capsys: Capture) -> None:
    assert run(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()


# ---- one file ----


def test_convert_writes_a_pair(tmp_path: Path, capsys: Capture) -> None:
    write_model(tmp_path / "m.onnx")
    options = ["--precision", "FP32", "--model_name", "net", "--input_shape", "[1..4,8]"]
    assert run(["convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "out"), *options]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["net.bin", "net.xml"]
    assert "net.xml" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["x", "[1,8", "[1,8],[1,8]", "[1,two]", "[1,8,8]"])
def test_convert_refuses_a_shape_that_means_nothing(tmp_path: Path, option: str) -> None:
    write_model(tmp_path / "m.onnx")
    assert run(["convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path), "--input_shape", option]) == 3
    assert not (tmp_path / "m.xml").exists()


def test_convert_imports_nothing_of_the_build_graph(tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    command = [sys.executable, "-X", "importtime", "-m", "modelbuild", "convert", "m.onnx", "-o", "out"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "modelbuild.convert" in imported
    unwanted = {"doit", "yaml", "rich", "modelbuild.project", "modelbuild.stages", "modelbuild.fetch", "urllib.request"}
    assert imported & unwanted == set()


def test_inspect_describes_a_model_and_an_ir(built: Site, capsys: Capture) -> None:
    assert run(["inspect", "src/one.onnx"]) == 0
    assert "MatMul x1" in capsys.readouterr().out
    assert run(["inspect", "build/one/cpu/FP32/one.xml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "ir"


def test_a_file_that_is_not_there_is_one_line(capsys: Capture) -> None:
    assert run(["inspect", "nowhere.onnx"]) != 0
    said = capsys.readouterr().err
    assert "nowhere.onnx" in said
    assert "Traceback" not in said


def test_why_names_rules(built: Site, capsys: Capture) -> None:
    assert run(["why", "one@cpu:FP32"]) == 0
    assert "optimize of one" in capsys.readouterr().out


# ---- the rest ----


def test_fetch_prints_digests(site: Site, capsys: Capture) -> None:
    assert run(["fetch", "one"]) == 0
    name, sha256, path = capsys.readouterr().out.split()
    assert (name, len(sha256), Path(path).name) == ("one", 64, "one.onnx")


def test_cache_stats_counts(built: Site, capsys: Capture) -> None:
    assert run(["cache", "stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["store"]["files"] > 0


def test_a_cleaned_cache_starts_afresh(built: Site) -> None:
    (built.root / "cache" / "theirs").write_text("keep")
    assert run(["clean", "--cache"]) == 0
    assert [path.name for path in (built.root / "cache").iterdir()] == ["theirs"]


def test_a_cache_that_a_build_writes_to_is_not_cleaned_with_a_traceback(
    built: Site, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path / "v1"))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert run(["clean", "--cache"]) == ExitCode.ENVIRONMENT
    assert "something else is writing there: wait for it, and try again" in capsys.readouterr().err


def test_help_imports_no_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modelbuild", "--help"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported & {"numpy", "yaml", "rich", "msgspec", "doit", "modelbuild.project"} == set()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupted_build_is_130_and_leaves_nothing_half_written(site: Site, workers: str) -> None:
    (site.root / "sitecustomize.py").write_text(_SLOW)  # which workers read too
    process = subprocess.Popen(
        [sys.executable, "-m", "modelbuild", "build", "-n", workers],
        cwd=site.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(site.root)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    runs = site.root / "cache" / "runs"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any('"run"' in path.read_text() for path in runs.glob("*.jsonl")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (site.root / "build").exists()


_SLOW = """
import time
from modelbuild.stages.outputs import Outputs
plain = Outputs.taken
Outputs.taken = lambda out: time.sleep(0.5) or plain(out)
"""


def test_inspect_says_what_a_device_does_not_take(built: Site, capsys: Capture) -> None:
    assert run(["inspect", "src/one.onnx", "--device", "myriad"]) == 0
    assert "device      MYRIAD of release 2022.3" in capsys.readouterr().out
    assert run(["inspect", "src/one.onnx", "--device", "NPU", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fitness"]["verified"] is False


@pytest.mark.parametrize(
    "asked", [["src/one.onnx", "--device", "XPU"], ["build/one/cpu/FP32/one.xml", "--runtime", "2023.0"]]
)
def test_inspect_refuses_what_it_cannot_say(asked: list[str], built: Site, capsys: Capture) -> None:
    assert run(["inspect", *asked]) == ExitCode.MANIFEST
    assert "device" in capsys.readouterr().err
