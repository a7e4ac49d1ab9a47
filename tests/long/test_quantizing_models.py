"""Real models in FP16-INT8: ranges by nncf on the inputs that they came with, and noise around them.

Each computes in integers what its source computes, within the bounds below, or is refused with its reason.
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
from modelbuild.manifest import select
from modelbuild.project import Checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("nncf") is None, reason="needs nncf: pip install 'modelbuild[nncf]'"),
]

REFUSED: Final = {
    "mtcnn_onet_qoperator_u8u8": "quantised already",
    "ultraface_RFB320_qdq_u8s8_perchannel": "quantised already",
    "silero_vad": "nncf does not quantise the model",  # it has an If of which one branch is never taken
}
SMALLEST_COSINE: Final = {
    "arabic_rom_encoder": 0.9999, "asr_pre_kaldi": 0.9999, "asr_pre_resample_44_16": 0.9999,
    "asr_pre_whisper80": 0.9999, "basic_pitch": 0.996, "dtln_model_1": 0.999, "eeg_spindle": 0.9999, "magika": 0.9999,
    "mtcnn_pnet": 0.9998, "mtcnn_rnet": 0.99, "oww_embedding_model": 0.99, "oww_melspectrogram": 0.9999,
    "ppocr_v2_cls": 0.99, "silero_vad_16k_sequence": 0.95, "silero_vad_v6_fw": 0.95,
    "tract_byte_sb_bidi_lstm": 0.999, "ultraface_RFB-320": 0.9998,
    "ultraface_RFB-320_without_postprocessing": 0.997, "ultraface_slim-320": 0.9998,
}  # fmt: skip
"""Below this no cosine may fall; measured ones are a little above. The input that ppocr_v4_det came with is noise, in
which it finds no text: it is only held to be built, and to run."""

REALS: Final = frozenset(
    {"asr_pre_kaldi", "asr_pre_resample_44_16", "asr_pre_whisper80", "oww_melspectrogram", "trt_debug_model"}
)
"""Their products compute spectra, which keep their bits, or are of a kind for which the runtime has no integers."""


def site(folder: Path, source: Path) -> Path:
    """A manifest of one model, and examples: the inputs that it came with, and what lies around them."""
    shutil.copy(source / "model.onnx", folder / "model.onnx")
    np.savez(folder / "examples.npz", **around(inputs_of(source)))
    said = {
        "source": {"path": "model.onnx"},
        "precisions": ["FP16-INT8"],
        "calibration": {"data": ["examples.npz"], "samples": SAMPLES},
        "reference": {"data": ["examples.npz"], "samples": 4},
    }
    (folder / "models.yaml").write_text(json.dumps({"version": 1, "models": {"m": said}}))
    return folder / "models.yaml"


def kernels(xml: Path) -> set[str]:
    """What products and convolutions compute in on the CPU."""
    import openvino

    compiled = openvino.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return {
        str(info["runtimePrecision"].astype(str))
        for info in infos
        if str(info["layerType"].astype(str)) in {"Convolution", "FullyConnected", "MatMul"}
    }


@pytest.mark.models
@pytest.mark.parametrize("source", models("onnx"))
def test_a_model_computes_in_integers_or_says_why_not(source: Path, tmp_path: Path) -> None:
    with Checkout.open(site(tmp_path, source)) as checkout:
        (variant,) = select([], checkout.manifest)
        if (reason := REFUSED.get(source.name)) is not None:
            with pytest.raises(BuildError, match=reason):
                checkout.make(variant)
            return
        checkout.make(variant)
        entry = checkout.reporting.noted(variant)
    assert entry is not None
    assert entry.artifact.summary is not None
    assert entry.artifact.summary.operators["FakeQuantize"] > 0
    assert bool(kernels(checkout.folder(variant) / "m.xml") & {"i8", "u8"}) is (source.name not in REALS)
    proof, bound = entry.artifact.proof, SMALLEST_COSINE.get(source.name)
    if proof is not None and bound is not None:
        assert proof.cosine is not None
        assert proof.cosine >= bound


@pytest.mark.models
def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    (small,) = (case.values[0] for case in models("onnx") if case.id == "mtcnn_rnet")  # type: ignore[attr-defined]
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with Checkout.open(site(tmp_path / name, small)) as checkout:
            (variant,) = checkout.manifest.variants()
            checkout.make(variant)
            contents.append({path.name: path.read_bytes() for path in checkout.folder(variant).iterdir()})
    assert contents[0] == contents[1]
