"""Limits of a manifest, as a build meets them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sites import Site, question_of

from modelbuild.errors import CheckFailed, EnvironmentTrouble, SourceError
from modelbuild.manifest import select
from modelbuild.project import Checkout
from modelbuild.project.judging import Judges

needs_runtimes = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("onnxruntime") is None, reason="needs both runtimes"
)


@pytest.fixture
def site(tmp_path: Path, known_code: Path) -> Site:
    site = Site(tmp_path / "site", known_code)
    del site.models["two"]
    site.write()
    return site


def limit(site: Site, **limits: Any) -> None:
    site.models["one"]["check"] = limits
    site.write()


def make(site: Site, selector: str = "one@cpu:FP32") -> list[str]:
    with Checkout.open(site.manifest) as checkout:
        for variant in select([selector], checkout.manifest):
            if checkout.stale(variant) is not None:
                checkout.make(variant)
    return site.ran()


def test_an_artifact_that_is_too_large_is_not_delivered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    limit(site, max_size="100 B")
    with pytest.raises(CheckFailed, match=r"the pair has \d+ bytes .*, max_size allows 100; .*'check'"):
        make(site)
    assert not site.folder().exists()


def test_what_lay_there_stays_when_a_limit_is_exceeded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    make(site)
    before = site.contents("build")
    site.models["one"]["inputs"] = {"x": {"shape": [3, 8]}}
    limit(site, max_size=10)
    with pytest.raises(CheckFailed):
        make(site)
    assert site.contents("build") == before


def test_a_limit_that_is_kept_runs_the_check_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    make(site)
    limit(site, max_size="1MB")
    assert make(site) == ["check one@cpu:FP32"]
    assert make(site) == []


def test_without_the_runtimes_limits_on_answers_cannot_be_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    limit(site, cosine=0.9)
    with pytest.raises(EnvironmentTrouble, match=r"'check' .* cannot be answered: .*pip install 'modelbuild\[prove\]'"):
        make(site)


def test_nor_is_what_was_built_before_they_were_asked_for_current(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    make(site)
    limit(site, cosine=0.9)
    for _ in range(2):  # the first look notes nothing that the second could believe
        with Checkout.open(site.manifest) as checkout:
            variant = checkout.manifest.models["one"].variants()[0]
            assert "cannot be answered" in str(checkout.stale(variant))
            assert not checkout.is_current(variant)
            with pytest.raises(EnvironmentTrouble, match="cannot be answered"):
                checkout.forecasts(variant)


@needs_runtimes
def test_an_answer_too_far_away_fails_with_all_that_is_known(site: Site) -> None:
    site.add("one", scale=0.3)
    limit(site, max_abs=0, cosine=0.5)
    with pytest.raises(CheckFailed, match=r"output 'y': max_abs is .*, at most 0 is asked"):
        make(site, "one@cpu:FP16")


@needs_runtimes
def test_a_limit_on_time_measures_in_turn_with_full_precision(site: Site) -> None:
    limit(site, max_latency_ratio=1000)
    assert "emit one@cpu:FP32" in make(site, "one@cpu:FP16")
    said = (site.root / "cache" / "entries").read_bytes()
    assert b'"ratio":' in said
    assert b'"ratio":null' not in said


def test_a_device_that_is_not_there_cannot_be_timed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", True)
    monkeypatch.setattr("modelbuild.runtime.session.is_present", lambda _: False)
    site.models["one"]["targets"] = ["gpu"]
    limit(site, max_latency_ratio=1.5)
    with pytest.raises(EnvironmentTrouble, match="there is no GPU here to take the time on"):
        make(site, "one@gpu:FP16")


@needs_runtimes
def test_reference_inputs_are_what_is_compared_on(site: Site) -> None:
    np.save(site.root / "inputs.npy", np.ones((6, 1, 8), np.float32))
    site.models["one"]["reference"] = {"data": ["*.npy"], "samples": 4}
    site.write()
    make(site)
    with Checkout.open(site.manifest) as checkout:
        entry = checkout.reporting.noted(checkout.manifest.variants()[0])
    assert entry is not None
    assert entry.artifact.proof is not None
    assert (entry.artifact.proof.on, entry.artifact.proof.examples) == ("reference", 4)


def test_other_reference_inputs_make_what_was_proved_stale(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    np.save(site.root / "inputs.npy", np.ones((1, 8), np.float32))
    site.models["one"]["reference"] = {"data": ["inputs.npy"]}
    site.write()
    make(site)
    with Checkout.open(site.manifest) as checkout:
        variant = checkout.manifest.variants()[0]
        before = question_of(checkout, variant)
    np.save(site.root / "inputs.npy", np.zeros((1, 8), np.float32))
    with Checkout.open(site.manifest) as checkout:
        assert question_of(checkout, variant) != before


def test_reference_inputs_that_are_not_there_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    site.models["one"]["reference"] = {"data": ["nothing/*.npz"]}
    site.write()
    with pytest.raises(SourceError, match=r"nothing/\*\.npz: no file matches"):
        make(site)


def test_links_do_not_lead_to_data_outside(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    np.save(tmp_path / "secret.npy", np.ones(8, np.float32))
    (site.root / "data").mkdir()
    (site.root / "data" / "a.npy").symlink_to(tmp_path / "secret.npy")
    site.models["one"]["reference"] = {"data": ["data/*.npy"]}
    site.write()
    with pytest.raises(SourceError, match="leads out of"):
        make(site)


@needs_runtimes
def test_the_command_returns_five_and_doit_sees_a_failed_task(site: Site) -> None:
    limit(site, max_size=10)
    built = site.run("modelbuild", "build", "one@cpu:FP32")
    assert built.returncode == 5
    assert "max_size allows 10" in built.stderr
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert [(artifact["status"], artifact["pair"] > 10) for artifact in said["artifacts"]] == [("failed", True)]
    done = site.doit("build:one@cpu:FP32")
    assert done.returncode == 1
    assert "max_size allows 10" in done.stdout
    assert not site.folder().exists()
