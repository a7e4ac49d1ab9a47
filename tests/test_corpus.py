"""Real models, converted, run by the OpenVINO runtime and compared with what their own framework answered.

What is emitted is also held against golden digests: a change of a single byte is seen, and is either meant
(``pytest tests/test_corpus.py --update-golden``) or a bug.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import CORPUS, models

import modelbuild
from modelbuild.tensor.dtype import Array

GOLDEN = Path(__file__).with_name("golden") / "corpus.json"

LOOSE = {
    # Integer kernels round at every layer; onnxruntime and OpenVINO do it in other places.
    "mtcnn_onet_qoperator_u8u8": 8e-2,
    "ultraface_RFB320_qdq_u8s8_perchannel": 8e-2,
    # Computed in half precision.
    "ultraface_slim320_fp16": 1e-2,
}
TOLERANCE = 1e-3
"""Of the greatest number of the reference."""


@pytest.mark.models
@pytest.mark.parametrize("folder", models("onnx"))
def test_a_real_model_computes_what_its_framework_computes(folder: Path, tmp_path: Path, request: Any) -> None:
    openvino = pytest.importorskip("openvino")
    graph = modelbuild.convert_model(folder / "model.onnx")
    emitted = {}
    for precision in ("FP32", "FP16"):
        xml = tmp_path / precision / "m.xml"
        modelbuild.save_model(graph, xml, compress_to_fp16=precision == "FP16")
        emitted[precision] = {end: digest(xml.with_suffix(end)) for end in (".xml", ".bin")}
    compare_with_reference(openvino, tmp_path / "FP32" / "m.xml", folder)
    check_golden(folder.name, emitted, update=request.config.getoption("--update-golden"))


def compare_with_reference(openvino: Any, xml: Path, folder: Path) -> None:
    said = np.load(folder / "io_ref.npz")
    feeds = {key.removeprefix("in:"): said[key] for key in said.files if key.startswith("in:")}
    compiled = openvino.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = compiled(feeds)
    for key in said.files:
        if key.startswith("out:"):
            compare(answers[key.removeprefix("out:")], said[key], LOOSE.get(folder.name, TOLERANCE), key)


def compare(got: Array, want: Array, tolerance: float, what: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape), what
    peak = float(np.max(np.abs(want.astype(np.float64)), initial=1e-6))
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=0, atol=tolerance * peak)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_golden(name: str, emitted: dict[str, dict[str, str]], *, update: bool) -> None:
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if update:
        golden[name] = emitted
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert golden.get(name) == emitted, "other bytes than before: is that meant? then --update-golden"


ONCE = """
import hashlib, sys, modelbuild
from pathlib import Path
graph = modelbuild.convert_model(sys.argv[1])
modelbuild.save_model(graph, sys.argv[2])
for end in (".xml", ".bin"):
    print(hashlib.sha256(Path(sys.argv[2]).with_suffix(end).read_bytes()).hexdigest())
"""


@pytest.mark.models
@pytest.mark.parametrize("name", ["ppocr_v4_det", "ultraface_RFB320_qdq_u8s8_perchannel", "silero_vad"])
def test_bytes_do_not_depend_on_hash_seed_or_processor(name: str, tmp_path: Path) -> None:
    if CORPUS is None:
        pytest.skip("the corpus of real models is not here")
    machines = [
        {"PYTHONHASHSEED": "1"},
        {
            "PYTHONHASHSEED": "2",
            "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
            "OPENBLAS_CORETYPE": "Haswell",
        },
    ]
    given = [sys.executable, "-W", "ignore", "-c", ONCE, str(CORPUS / "onnx" / name / "model.onnx")]
    said = [
        subprocess.run(
            [*given, str(tmp_path / f"{i}.xml")], env=os.environ | machine, capture_output=True, text=True, check=True
        ).stdout
        for i, machine in enumerate(machines)
    ]
    assert said[0] == said[1]
