from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sites import Site, write_model

from modelbuild import digest
from modelbuild.cli import run
from modelbuild.manifest import load
from modelbuild.release import lock

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def locked(built_site: Site, capsys: Capture) -> Site:
    assert run(["lock"]) == 0
    capsys.readouterr()
    return built_site


def read(site: Site, model: str = "one") -> dict[str, Any]:
    said: dict[str, Any] = json.loads((site.root / "models.lock" / f"{model}.json").read_text())
    return said


def edit(site: Site, *path: str, to: Any) -> None:
    """Have the lock of ``one`` say something else."""
    said = read(site)
    *folders, last = path
    inner = said
    for name in folders:
        inner = inner[name]
    inner[last] = to
    (site.root / "models.lock" / "one.json").write_text(json.dumps(said))


# ---- what is written ----


def test_a_lock_names_sources_tools_and_everything_delivered(locked: Site) -> None:
    said = read(locked)
    assert said["sources"] == {"one.onnx": digest.of_file(locked.root / "src" / "one.onnx")}
    assert said["tools"] == lock.tools(())
    assert {"modelbuild", "numpy"} <= said["tools"].keys()
    assert said["artifacts"]["cpu:FP32"] == {
        path.name: {"bytes": path.stat().st_size, "sha256": digest.of_file(path)} for path in locked.folder().iterdir()
    }


def test_there_is_one_sorted_file_a_model(locked: Site) -> None:
    files = sorted((locked.root / "models.lock").iterdir())
    assert [path.name for path in files] == ["one.json", "two.json"]
    for path in files:
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n"


def test_another_checkout_gives_the_same_lock(locked: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Site(tmp_path / "elsewhere" / "site")
    monkeypatch.chdir(other.root)
    assert run(["build", "--lock"]) == 0
    assert other.contents("models.lock") == locked.contents("models.lock")


def test_locking_again_touches_nothing(locked: Site) -> None:
    before = locked.files()
    assert run(["lock"]) == 0
    assert locked.files() == before


def test_a_build_changes_the_lock_only_when_asked(locked: Site) -> None:
    before = locked.contents("models.lock")
    write_model(locked.root / "src" / "one.onnx", scale=7.0)
    assert run(["build"]) == 0
    assert locked.contents("models.lock") == before
    assert run(["build", "--lock"]) == 0
    assert locked.contents("models.lock")["models.lock/one.json"] != before["models.lock/one.json"]
    assert locked.contents("models.lock")["models.lock/two.json"] == before["models.lock/two.json"]


def test_what_is_stale_is_not_locked(locked: Site, capsys: Capture) -> None:
    before = locked.contents("models.lock")
    write_model(locked.root / "src" / "one.onnx", scale=7.0)
    assert run(["lock"]) == 4
    assert "one@cpu:FP32: input model changed" in capsys.readouterr().err
    assert locked.contents("models.lock") == before


def test_a_lock_speaks_of_all_artifacts_of_a_model(built_site: Site, capsys: Capture) -> None:
    (built_site.folder("one", "FP16") / "one.bin").unlink()
    assert run(["build", "one@cpu:FP32", "--lock"]) == 4
    assert "one@cpu:FP16: one.bin is missing" in capsys.readouterr().err
    assert not (built_site.root / "models.lock").exists()


def test_a_model_that_is_gone_is_forgotten(locked: Site, capsys: Capture) -> None:
    del locked.models["two"]
    locked.write()
    assert run(["lock"]) == 0
    assert capsys.readouterr().out == "models.lock/two.json\n"
    assert not (locked.root / "models.lock" / "two.json").exists()


# ---- what is refused ----


def test_what_is_as_locked_is_built(locked: Site) -> None:
    shutil.rmtree(locked.root / "build")
    assert run(["build", "--locked"]) == 0
    assert locked.folder().exists()


def test_another_source_is_refused_before_anything_is_built(locked: Site, capsys: Capture) -> None:
    write_model(locked.root / "src" / "one.onnx", scale=7.0)
    before = locked.contents("build"), locked.contents("models.lock")
    was, now = read(locked)["sources"]["one.onnx"], digest.of_file(locked.root / "src" / "one.onnx")
    assert run(["build", "--locked"]) == 4
    assert f"one: source one.onnx: {was} is locked, {now} is found" in capsys.readouterr().err
    assert (locked.contents("build"), locked.contents("models.lock")) == before


def test_another_version_of_a_tool_is_refused(locked: Site, capsys: Capture) -> None:
    edit(locked, "tools", "numpy", to="1.0")
    assert run(["build", "--locked"]) == 4
    assert "one: tool numpy: 1.0 is locked" in capsys.readouterr().err


def test_other_bytes_are_refused(locked: Site, capsys: Capture) -> None:
    edit(locked, "artifacts", "cpu:FP32", "one.bin", "sha256", to="0" * 64)
    assert run(["build", "--locked"]) == 4
    assert f"one@cpu:FP32: one.bin: {'0' * 64} (144 bytes) is locked" in capsys.readouterr().err


def test_only_what_is_selected_is_held_against_the_lock(locked: Site) -> None:
    edit(locked, "artifacts", "cpu:FP32", "one.bin", "sha256", to="0" * 64)
    assert run(["build", "one@cpu:FP16", "two", "--locked"]) == 0


def test_a_model_without_a_lock_is_refused(locked: Site, capsys: Capture) -> None:
    locked.add("three")
    assert run(["build", "--locked"]) == 4
    assert "three: is not locked" in capsys.readouterr().err
    assert not locked.folder("three").exists()


def test_a_lock_without_a_model_is_refused(locked: Site, capsys: Capture) -> None:
    del locked.models["two"]
    locked.write()
    assert run(["build", "--locked"]) == 4
    assert "two: is locked, but not in models.yaml" in capsys.readouterr().err


def test_an_artifact_that_is_not_asked_for_any_more_is_refused(locked: Site, capsys: Capture) -> None:
    locked.models["one"]["precisions"] = ["FP32"]
    locked.write()
    assert run(["build", "--locked"]) == 4
    assert "one: artifact cpu:FP16: it is locked, nothing is found" in capsys.readouterr().err


def test_writing_and_forbidding_to_write_exclude_each_other(built_site: Site) -> None:
    assert run(["build", "--lock", "--locked"]) == 3


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2}', "[" * 100_000])
def test_a_damaged_lock_is_one_line(locked: Site, capsys: Capture, text: str) -> None:
    (locked.root / "models.lock" / "one.json").write_text(text)
    assert run(["build", "--locked"]) == 3
    said = capsys.readouterr().err
    assert "one.json: is no lock file of this version" in said
    assert "Traceback" not in said


def test_what_measures_ranges_is_a_tool_of_those_models_only_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelbuild.stages.key.version_of", lambda name: f"{name} 1")
    body = "source: {path: m.onnx}, calibration: {data: [a.npy]}, precisions: [FP32, FP16-INT8]"
    (tmp_path / "models.yaml").write_text(f"version: 1\nmodels:\n  m: {{{body}}}\n  n: {{source: {{path: n.onnx}}}}\n")
    models = load(tmp_path / "models.yaml").models
    assert lock.tools([models["m"]])["nncf"] == "nncf 1"
    assert "nncf" not in lock.tools([models["n"]])
