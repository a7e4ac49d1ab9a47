"""Real models with their weights in few bits, run by the OpenVINO runtime: how far they are from their framework.

The bounds are a little above what was measured, so that a loss is noticed. A bound is the largest difference as a part
of the largest number of an output, and the least cosine. FP32 differs from zero where runtimes round in other places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus import models

from modelbuild.convert import convert_model, save_model
from modelbuild.errors import BuildError
from modelbuild.runtime.compare import Difference, compare
from modelbuild.runtime.session import Session

pytestmark = pytest.mark.slow

PRECISIONS = ("BF16", "INT8", "INT4")
QUANTIZED = {"mtcnn_onet_qoperator_u8u8", "ultraface_RFB320_qdq_u8s8_perchannel"}
"""They keep their integers in BF16, and are not quantised again."""

INTEGERS = "INT8 and INT4"
# There are no products of matrices in these models but the last, so that INT4 stores what INT8 does.
BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "arabic_rom_encoder": {"BF16": (0.014, 0.9999971), INTEGERS: (0.019, 0.999986)},
    "asr_pre_kaldi": {"BF16": (7.8e-06, 0.999999), INTEGERS: (0.014, 0.9999986)},
    "asr_pre_resample_44_16": {"BF16": (1e-06, 0.999999), INTEGERS: (1e-06, 0.999999)},
    "asr_pre_whisper80": {"BF16": (0.00025, 0.999999), INTEGERS: (0.0018, 0.999999)},
    "basic_pitch": {"BF16": (0.0083, 0.9999935), INTEGERS: (0.11, 0.99951)},
    "dtln_model_1": {"BF16": (0.0027, 0.9999984), INTEGERS: (0.0077, 0.9999977)},
    "eeg_spindle": {"BF16": (0.00092, 0.999999), INTEGERS: (0.0047, 0.999999)},
    "magika": {"BF16": (3.2e-05, 0.999999), INTEGERS: (0.00059, 0.999999)},
    "mtcnn_onet_qoperator_u8u8": {"BF16": (0.0058, 0.999989)},
    "mtcnn_pnet": {"BF16": (0.015, 0.999913), INTEGERS: (0.032, 0.999909)},
    "mtcnn_rnet": {"BF16": (0.0084, 0.999989), INTEGERS: (0.056, 0.9984)},
    "oww_embedding_model": {"BF16": (0.0064, 0.999979), INTEGERS: (0.027, 0.99982)},
    "oww_melspectrogram": {"BF16": (1e-06, 0.999999), INTEGERS: (0.00027, 0.999999)},
    "ppocr_v2_cls": {"BF16": (0.025, 0.99975), INTEGERS: (0.0057, 0.999987)},
    "ppocr_v4_det": {"BF16": (0.49, 0.9904), INTEGERS: (0.32, 0.9904)},
    "silero_vad": {"BF16": (0.0069, 0.9999956), INTEGERS: (0.046, 0.99984)},
    "silero_vad_16k_sequence": {"BF16": (0.016, 0.999988), INTEGERS: (0.059, 0.9997)},
    "silero_vad_v6_fw": {"BF16": (0.0061, 0.9999915), INTEGERS: (0.023, 0.99987)},
    "tract_byte_sb_bidi_lstm": {"BF16": (0.0021, 0.999999), INTEGERS: (0.0038, 0.9999971)},
    "trt_debug_model": {"BF16": (1e-06, 0.999999), INTEGERS: (1e-06, 0.999999)},
    "ultraface_RFB-320": {"BF16": (0.0054, 0.9999984), INTEGERS: (0.02, 0.9999984)},
    "ultraface_RFB-320_without_postprocessing": {"BF16": (0.019, 0.999915), INTEGERS: (0.031, 0.99977)},
    "ultraface_RFB320_qdq_u8s8_perchannel": {"BF16": (0.06, 0.99984)},
    "ultraface_slim-320": {"BF16": (0.01, 0.9999984), INTEGERS: (0.051, 0.9999967)},
    "ultraface_slim320_fp16": {"BF16": (0.0041, 0.999999), INTEGERS: (0.061, 0.9999954)},
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("folder", models("onnx"))
def test_a_real_model_in_few_bits_stays_near(folder: Path, precision: str, tmp_path: Path) -> None:
    graph, xml = convert_model(folder / "model.onnx"), tmp_path / "m.xml"
    if folder.name in QUANTIZED and precision != "BF16":
        with pytest.raises(BuildError, match=f"is quantised already, it is not quantised again to {precision}"):
            save_model(graph, xml, precision=precision)
        return
    save_model(graph, xml, precision=precision)
    found = distances(xml, folder)
    worst, cosine = max(one.max_rel_to_peak for one in found), min(one.cosine for one in found)
    most, least = BOUNDS[folder.name]["BF16" if precision == "BF16" else INTEGERS]
    assert not any(one.problem for one in found)
    assert (worst <= most, cosine >= least) == (True, True), f"{worst:.2g} of {most}, cosine {cosine:.6f} of {least}"


def distances(xml: Path, folder: Path) -> list[Difference]:
    said = np.load(folder / "io_ref.npz")
    session = Session(xml)
    given = session.run({key.removeprefix("in:"): said[key] for key in said.files if key.startswith("in:")})
    wanted = {key.removeprefix("out:"): said[key] for key in said.files if key.startswith("out:")}
    return [compare(given[name], array) for name, array in wanted.items()]
