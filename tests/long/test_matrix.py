"""Every real model for every device profile in every precision: built, and run on the CPU plugin.

Shapes are those of the inputs that the models came with, because one of the devices takes no others. What is refused is
refused for a reason that is written here. Precisions that are calibrated take nncf; without it, they are left out.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from corpus import models
from surroundings import SAMPLES, around, inputs_of

from modelbuild.errors import BuildError
from modelbuild.project import Checkout

pytestmark = pytest.mark.slow

TARGETS: Final = ("cpu", "gpu", "npu")
CALIBRATED: Final = ("FP16-INT8", "FP32-INT8")
PRECISIONS: Final = ("FP32", "FP16", "BF16", "INT8", "INT4", *(CALIBRATED if find_spec("nncf") else ()))
QUANTIZED: Final = {"mtcnn_onet_qoperator_u8u8", "ultraface_RFB320_qdq_u8s8_perchannel"}
SMALLEST_COSINE: Final = {
    "FP32": 0.9998, "FP16": 0.999, "BF16": 0.99, "INT8": 0.99, "INT4": 0.99, "FP16-INT8": 0.995, "FP32-INT8": 0.995,
}  # fmt: skip
SILENT: Final = {"ppocr_v4_det"}
"""It finds no text in the noise that it came with: of an answer below 0.00014, eight bits leave nothing."""


def site(folder: Path, source: Path) -> Path:
    shutil.copy(source / "model.onnx", folder / "model.onnx")
    inputs = inputs_of(source)
    np.savez(folder / "examples.npz", **{name: array[np.newaxis] for name, array in inputs.items()})
    np.savez(folder / "around.npz", **around(inputs))
    said = {
        "source": {"path": "model.onnx"},
        "inputs": {name: {"shape": list(array.shape)} for name, array in inputs.items()},
        "targets": TARGETS,
        "precisions": PRECISIONS,
        "reference": {"data": ["examples.npz"], "samples": 1},
        "calibration": {"data": ["around.npz"], "samples": SAMPLES},
    }
    (folder / "models.yaml").write_text(json.dumps({"version": 1, "models": {"m": said}}))
    return folder / "models.yaml"


def refusal(model: str, target: str, precision: str) -> str | None:
    """What an error says of an artifact that cannot be; None for one that can."""
    if model in QUANTIZED and "INT" in precision:
        return f"is quantised already, it is not quantised again to {precision}"
    return None


@pytest.mark.parametrize("source", models("onnx"))
def test_a_model_is_built_for_every_device_in_every_precision(source: Path, tmp_path: Path) -> None:
    far: list[str] = []
    with Checkout.open(site(tmp_path, source)) as checkout:
        for variant in checkout.manifest.variants():
            reason = refusal(source.name, str(variant.target), str(variant.precision))
            if reason is not None:
                with pytest.raises(BuildError, match=reason):
                    checkout.make(variant)
                continue
            checkout.make(variant)
            entry = checkout.reporting.noted(variant)
            assert entry is not None
            proof = entry.artifact.proof
            assert proof is not None, f"{variant} is not proved: {entry.artifact.notes}"
            is_silent = source.name in SILENT and variant.precision in CALIBRATED
            if not is_silent and (proof.cosine is None or proof.cosine < SMALLEST_COSINE[variant.precision]):
                far.append(f"{variant}: cosine {proof.cosine}, {proof.max_rel_to_peak} of the peak")
    assert not far
