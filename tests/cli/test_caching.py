"""`modelbuild cache` and `modelbuild graph`, as people use them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from sites import Site

from modelbuild import digest
from modelbuild.cli import run
from modelbuild.errors import ExitCode
from modelbuild.project.judging import Judges
from modelbuild.store import LocalStore, Output, Record

Capture = pytest.CaptureFixture[str]


def said(capsys: Capture, *command: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(list(command)) == code
    return capsys.readouterr().out


def test_stats_tell_hits_reasons_bytes_and_time_saved(built_site: Site, capsys: Capture) -> None:
    shutil.rmtree(built_site.root / "build")
    run(["build"])
    told = json.loads(said(capsys, "cache", "stats", "--json"))
    assert told["reasons"]["never built"] > 0
    assert told["hits"] == {"package": 4}
    assert told["seconds_saved"] > 0
    assert told["store"]["bytes"] > 0
    assert "never built" in said(capsys, "cache", "stats")


def test_a_first_build_saves_nothing(built_site: Site, capsys: Capture) -> None:
    told = json.loads(said(capsys, "cache", "stats", "--json"))
    assert "made" in told["events"]
    assert "hit" not in told["events"]
    assert (told["hits"], told["seconds_saved"]) == ({}, 0)


def test_one_hit_is_no_plural(built_site: Site, capsys: Capture) -> None:
    shutil.rmtree(built_site.root / "build")
    assert run(["build", "one@cpu:FP32"]) == 0
    assert "\nruns      1 hit, " in said(capsys, "cache", "stats")


def test_a_stage_that_several_artifacts_share_is_saved_once(built_site: Site, capsys: Capture) -> None:
    built_site.models["one"]["precisions"] = ["FP32", "FP16", "BF16", "INT8"]
    built_site.write()
    assert run(["build", "one"]) == 0
    told = json.loads(said(capsys, "cache", "stats", "--json"))
    assert told["hits"] == {"load": 1, "optimize": 1}


def test_a_sweep_without_room_leaves_what_the_manifest_needs(built_site: Site, capsys: Capture) -> None:
    said(capsys, "cache", "gc", "--max-size", "0", "--max-age", "0h")
    shutil.rmtree(built_site.root / "build")
    list(built_site.events())
    assert run(["build"]) == 0
    assert built_site.ran() == []


def test_a_sweep_takes_what_the_manifest_needs_no_more(built_site: Site, capsys: Capture) -> None:
    del built_site.models["two"]
    built_site.write()
    would = json.loads(said(capsys, "cache", "gc", "--max-size", "0", "--dry-run", "--json"))
    assert would["records"] > 0
    assert json.loads(said(capsys, "cache", "gc", "--max-size", "0", "--json")) == would
    assert json.loads(said(capsys, "cache", "gc", "--max-size", "0", "--json"))["records"] == 0


def test_a_sweep_leaves_what_is_pinned(built_site: Site, capsys: Capture) -> None:
    said(capsys, "cache", "pin", "v1", "two")
    assert said(capsys, "cache", "pin").startswith("v1  ")
    del built_site.models["two"]
    built_site.write()
    assert json.loads(said(capsys, "cache", "gc", "--max-size", "0", "--json"))["records"] == 0
    said(capsys, "cache", "pin", "v1", "--remove")
    assert json.loads(said(capsys, "cache", "gc", "--max-size", "0", "--json"))["records"] > 0


def test_what_is_not_built_cannot_be_pinned(built_site: Site, capsys: Capture) -> None:
    built_site.add("three", scale=3.0)
    assert run(["cache", "pin", "v1"]) == 3
    assert "build it first" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--max-size", "ten"), ("--max-age", "10 years"), ("--max-size", "-1GB")])
def test_a_limit_that_is_none_is_refused(built_site: Site, option: tuple[str, str], capsys: Capture) -> None:
    assert run(["cache", "gc", *option]) == 3
    assert "is no " in capsys.readouterr().err


def test_another_checkout_builds_from_an_export(
    built_site: Site, tmp_path: Path, known_code: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "cache", "export", str(tmp_path / "answers.tar"))
    other = Site(tmp_path / "other", known_code)
    monkeypatch.chdir(other.root)
    assert "new records" in said(capsys, "cache", "import", str(tmp_path / "answers.tar"))
    assert run(["build"]) == 0
    assert other.ran() == []
    assert other.contents("build/one") == built_site.contents("build/one")


def test_an_export_is_the_same_bytes_every_time(built_site: Site, tmp_path: Path, capsys: Capture) -> None:
    for name in ("a.tar", "b.tar"):
        said(capsys, "cache", "export", str(tmp_path / name), "one")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_file_that_is_no_export_is_refused(built_site: Site, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "x.tar").write_bytes(b"x" * 2000)
    assert run(["cache", "import", str(tmp_path / "x.tar")]) == 1
    assert "modelbuild cache export" in capsys.readouterr().err


def test_a_whole_store_verifies(built_site: Site, capsys: Capture) -> None:
    assert said(capsys, "cache", "verify") == "all is whole\n"
    assert said(capsys, "cache", "repair") == ""


def test_one_record_blob_or_finding_is_no_plural(built_site: Site, capsys: Capture) -> None:
    shutil.rmtree(built_site.root / "cache" / "store")
    store = LocalStore(built_site.root / "cache" / "store")
    with store.scratch() as folder:
        (folder / "draft").write_bytes(b"content")
        output = Output(store.take(folder / "draft"), "result")
    store.publish(Record(digest.canonical({"stage": "s"}), {"out": output}, (), 0.5, "2024-01-01T00:00:00+00:00"))
    assert "answers.tar: 1 record, 1 blob, " in said(capsys, "cache", "export", "answers.tar", "--all")
    assert said(capsys, "cache", "gc", "--max-size", "0").startswith("removed 1 record and 1 blob, ")
    assert said(capsys, "cache", "import", "answers.tar").startswith("1 new record, 1 blob, ")
    (store.home / "blobs" / "notes.txt").write_text("mine")
    assert said(capsys, "cache", "verify", code=5).endswith("\n1 finding\n")


def test_the_graph_shows_what_is_made_of_what(built_site: Site, capsys: Capture) -> None:
    dot = said(capsys, "graph", "one")
    assert dot.startswith("digraph modelbuild {")
    assert dot.count('label="src/one.onnx"') == 1
    assert 'label="build/one/cpu/FP16"' in dot
    assert "two" not in dot
    mermaid = said(capsys, "graph", "--format", "mermaid")
    assert mermaid.startswith("flowchart LR\n")
    assert '["load of two"]' in mermaid
    assert mermaid.count(" --> ") == said(capsys, "graph").count(" -> ")


def drawn(capsys: Capture, form: str, *selectors: str) -> set[str]:
    """What is named in the picture."""
    return set(re.findall('"(.*)"', said(capsys, "graph", "--format", form, *selectors)))


FORMS = pytest.mark.parametrize("form", ["dot", "mermaid"])
MADE = {f"{stage} of one@cpu:FP32" for stage in ("specialize", "emit", "describe", "package")}
ALWAYS = {"src/one.onnx", "load of one", "optimize of one", *MADE, "build/one/cpu/FP32"}


@FORMS
def test_the_graph_shows_nothing_that_is_not_asked_here(built_site: Site, form: str, capsys: Capture) -> None:
    assert drawn(capsys, form, "one@cpu:FP32") == ALWAYS


@FORMS
def test_the_graph_shows_what_looks_at_an_artifact(
    built_site: Site, form: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(Judges, "can_prove", True)
    built_site.models["one"]["check"] = {"max_size": "1 MB"}
    built_site.write()
    judged = {f"{stage} of one@cpu:FP32" for stage in ("prove", "measure", "check")}
    assert drawn(capsys, form, "one@cpu:FP32") == ALWAYS | judged


@FORMS
def test_the_graph_shows_what_a_device_compiles(built_site: Site, form: str, capsys: Capture) -> None:
    model = {**built_site.models["one"], "targets": ["edge"], "precisions": ["FP32"]}
    targets = {"edge": {"device": "CPU", "compile": True}}
    built_site.manifest.write_text(json.dumps({"version": 1, "targets": targets, "models": {"one": model}}))
    assert drawn(capsys, form) == {name.replace("cpu", "edge") for name in ALWAYS} | {
        "export of one@edge:FP32",
        "build/one/edge/FP32.compiled",
    }


@FORMS
def test_the_graph_fetches_nothing(built_site: Site, form: str, capsys: Capture) -> None:
    built_site.models["two"]["source"] = {"url": "http://127.0.0.1:9/two.onnx", "sha256": "0" * 64}
    built_site.write()
    assert drawn(capsys, form, "one@cpu:FP32") == ALWAYS
    assert run(["graph", "--format", form]) == ExitCode.ENVIRONMENT
    assert "http://127.0.0.1:9/two.onnx: not here, and nothing is fetched now" in capsys.readouterr().err


def test_the_graph_changes_nothing(built_site: Site, capsys: Capture) -> None:
    before = built_site.files()
    assert run(["graph"]) == 0
    assert built_site.files() == before
