"""What a device's own compiler makes of an artifact, beside the portable IR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sites import Site

from modelbuild import digest
from modelbuild.cli import run
from modelbuild.errors import EnvironmentTrouble
from modelbuild.project import Checkout
from modelbuild.project.judging import Judges

openvino = pytest.importorskip("openvino")

FOLDER = Path("build/one/edge/FP32.compiled")


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path / "site", known_code)
    monkeypatch.chdir(made.root)
    monkeypatch.setattr(Judges, "can_prove", False)
    return made


def describe(site: Site, device: str, *, compiled: bool) -> None:
    target = {"device": device, "compile": compiled}
    model = {"source": {"path": "src/one.onnx"}, "targets": ["edge"], "precisions": ["FP32"], "static_shape": False}
    site.manifest.write_text(json.dumps({"version": 1, "targets": {"edge": target}, "models": {"one": model}}))


def build(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        checkout.make(*checkout.manifest.variants())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, known_code: Path) -> Path:
    """A checkout in which all is made, to be looked at only."""
    made = Site(tmp_path_factory.mktemp("compiled") / "site", known_code)
    describe(made, "CPU", compiled=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judges, "can_prove", False)
        build(made)
    return made.root


def test_a_blob_is_imported_and_computes_what_the_pair_computes(compiled: Path) -> None:
    core: Any = openvino.Core()
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    imported = core.import_model((compiled / FOLDER / "one.blob").read_bytes(), "CPU")
    portable = core.compile_model(compiled / "build/one/edge/FP32/one.xml", "CPU")
    np.testing.assert_array_equal(imported({"x": x})["y"], portable({"x": x})["y"])


def test_it_says_where_it_is_from_and_what_it_is_for(compiled: Path) -> None:
    said = json.loads((compiled / FOLDER / "provenance.json").read_text())
    blob = (compiled / FOLDER / "one.blob").read_bytes()
    assert said["device"] == "CPU"
    assert said["files"] == {"one.blob": {"sha256": digest.of_bytes(blob), "bytes": len(blob)}}
    assert said["machine"]


def test_it_is_no_part_of_the_portable_artifact(compiled: Path) -> None:
    names = sorted(path.name for path in (compiled / "build/one/edge/FP32").iterdir())
    assert names == ["one.bin", "one.xml", "provenance.json"]


@pytest.fixture
def in_compiled(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(compiled)
    monkeypatch.setattr(Judges, "can_prove", False)
    return compiled


def packed(output: Path, *options: str) -> set[str]:
    """The files of a bundle in a folder, which is whole."""
    assert run(["pack", *options, "-o", str(output)]) == 0
    assert run(["verify", str(output)]) == 0
    return {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}


def test_a_bundle_holds_it_only_if_it_is_asked_for(in_compiled: Path, tmp_path: Path) -> None:
    plain, more = packed(tmp_path / "plain"), packed(tmp_path / "more", "--compiled")
    beside = "models/one/edge/FP32.compiled"
    assert more - plain == {f"{beside}/one.blob", f"{beside}/provenance.json"}
    assert (tmp_path / "more" / beside / "one.blob").read_bytes() == (in_compiled / FOLDER / "one.blob").read_bytes()
    (artifact,) = json.loads((tmp_path / "more" / "index.json").read_text())["artifacts"]
    assert artifact["compiled"] == beside


def test_a_blob_that_was_changed_is_not_packed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    describe(site, "CPU", compiled=True)
    build(site)
    (FOLDER / "one.blob").write_bytes(b"changed")
    assert run(["pack", "--compiled", "-o", "b.tar"]) == 4
    assert "one.blob" in capsys.readouterr().err


def test_blobs_of_targets_that_have_none_are_asked_for_in_vain(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    describe(site, "CPU", compiled=False)
    build(site)
    assert run(["pack", "--compiled", "-o", "b.tar"]) == 3
    assert "say 'compile: true' of its target" in capsys.readouterr().err
    assert not Path("b.tar").exists()


def test_nothing_runs_again_where_it_is_there_and_it_comes_back_where_it_is_not(site: Site) -> None:
    describe(site, "CPU", compiled=True)
    build(site)
    with Checkout.open(site.manifest) as checkout:
        (variant,) = checkout.manifest.variants()
        assert checkout.stale(variant) is None
        (FOLDER / "one.blob").unlink()
        assert "one.blob is missing" in str(checkout.stale(variant))
        assert checkout.make(variant).ran == ()
    assert (FOLDER / "one.blob").exists()


def test_what_is_not_asked_for_any_more_is_an_orphan(site: Site) -> None:
    describe(site, "CPU", compiled=True)
    build(site)
    describe(site, "CPU", compiled=False)
    with Checkout.open(site.manifest) as checkout:
        assert [orphan.folder for orphan in checkout.orphans()] == [FOLDER.resolve()]


def test_cleaning_takes_it_away_too(site: Site) -> None:
    describe(site, "CPU", compiled=True)
    build(site)
    with Checkout.open(site.manifest) as checkout:
        checkout.clean(*checkout.manifest.variants())
    assert not FOLDER.exists()


def test_another_machine_makes_another_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(site, "CPU", compiled=True)
    build(site)
    for user in ("modelbuild.plan.artifact", "modelbuild.project.question"):
        monkeypatch.setattr(f"{user}.machine", lambda _: "pdp11")
    with Checkout.open(site.manifest) as checkout:
        (variant,) = checkout.manifest.variants()
        assert checkout.stale(variant)
        assert [event.stage for event in checkout.make(variant).ran] == ["export"]


def test_a_device_that_is_not_here_is_asked_for_in_vain(site: Site) -> None:
    describe(site, "GNA", compiled=True)
    with (
        Checkout.open(site.manifest) as checkout,
        pytest.raises(EnvironmentTrouble, match="asks for a GNA, and there is none here"),
    ):
        checkout.make(*checkout.manifest.variants())
    assert not Path("build").exists()
