"""What a manifest says of how good an artifact has to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_loading import model, problem

from modelbuild.manifest.quality import Calibration, Check, Reference

SOURCE = "source: {path: a.onnx}"


def test_limits_arrive_as_numbers(tmp_path: Path) -> None:
    check = "max_abs: 0.5, max_rel: 1.0e-3, cosine: 0.99, top1: 1, max_size: 1.5MB, max_latency_ratio: 2"
    assert model(tmp_path, f"{SOURCE}, check: {{{check}}}").check == Check(0.5, 0.001, 0.99, 1, 1_500_000, 2)


def test_a_size_may_be_a_number_of_bytes(tmp_path: Path) -> None:
    assert model(tmp_path, f"{SOURCE}, check: {{max_size: 4096}}").check == Check(max_size=4096)


def test_a_model_takes_over_the_default_limits_that_it_does_not_set(tmp_path: Path) -> None:
    above = "defaults: {check: {cosine: 0.99, max_size: 1GB}}"
    found = model(tmp_path, f"{SOURCE}, check: {{max_size: 5kB}}", above)
    assert found.check == Check(cosine=0.99, max_size=5000)


def test_the_axis_of_classes_limits_nothing(tmp_path: Path) -> None:
    check = model(tmp_path, f"{SOURCE}, check: {{top1_axis: -1}}").check
    assert check == Check(top1_axis=-1)
    assert not check.needs_proof


def test_no_limit_is_no_check(tmp_path: Path) -> None:
    assert model(tmp_path, SOURCE).check is None


@pytest.mark.parametrize(
    ("limit", "complaint"),
    [
        ("cosine: 1.5", "expected a number from 0 to 1"),
        ("top1: -1", "expected a number from 0 to 1"),
        ("top1_axis: 99", "expected the number of an axis"),
        ("max_abs: -0.5", "expected a number that is not negative"),
        ("max_size: 20 sheep", "a size: a number of bytes, or a text such as 500kB"),
        ("cosin: 1", "did you mean 'cosine'?"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(tmp_path: Path, limit: str, complaint: str) -> None:
    assert complaint in problem(tmp_path, f"{SOURCE}, check: {{{limit}}}")


def test_data_are_found_from_the_file_that_names_them(tmp_path: Path) -> None:
    found = model(tmp_path, f"{SOURCE}, reference: {{data: [in/*.npz], samples: 4}}")
    assert found.reference == Reference(("in/*.npz",), 4)


def test_data_outside_the_folder_of_the_manifest_are_refused(tmp_path: Path) -> None:
    assert "leads out of the folder" in problem(tmp_path, f"{SOURCE}, reference: {{data: [../secret.npz]}}")


def test_how_to_calibrate_arrives(tmp_path: Path) -> None:
    said = "calibration: {data: [c/*.jpg], samples: 8, seed: 3, preset: mixed, model_type: transformer}"
    found = model(tmp_path, f"{SOURCE}, precisions: [FP16-INT8], {said}")
    assert found.calibration == Calibration(("c/*.jpg",), 8, 3, "mixed", "transformer")


def test_quantised_activations_need_data(tmp_path: Path) -> None:
    assert "say with 'calibration' on which data" in problem(tmp_path, f"{SOURCE}, precisions: [FP32-INT8]")


def test_data_for_calibration_that_nothing_needs_are_a_mistake(tmp_path: Path) -> None:
    assert "no precision needs it" in problem(tmp_path, f"{SOURCE}, calibration: {{data: [a.npy]}}")
