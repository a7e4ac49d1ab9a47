"""Quantised models run on integer kernels, which the runtime's own description of what it runs shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from corpus import CORPUS
from onnx import numpy_helper

import modelbuild
from modelbuild.runtime.reference import Reference
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import Array

FORMS = {
    "QOperator": """<ir_version: 8, opset_import: ["" : 13]>
        model (float[1, 8, 16, 16] x) => (float[1, 16, 16, 16] y) {
            q = QuantizeLinear (x, xs, xz)
            c = QLinearConv <pads = [1, 1, 1, 1]> (q, xs, xz, w, ws, wz, ys, yz)
            y = DequantizeLinear (c, ys, yz)
        }""",
    "QDQ": """<ir_version: 8, opset_import: ["" : 13]>
        model (float[1, 8, 16, 16] x) => (float[1, 16, 16, 16] y) {
            q = QuantizeLinear (x, xs, xz)
            d = DequantizeLinear (q, xs, xz)
            v = DequantizeLinear <axis = 0> (w, ws, wz)
            c = Conv <pads = [1, 1, 1, 1]> (d, v)
            p = QuantizeLinear (c, ys, yz)
            y = DequantizeLinear (p, ys, yz)
        }""",
}


def saved(folder: Path, form: str, constants: dict[str, Array]) -> Path:
    model = onnx.parser.parse_model(FORMS[form])
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def constants(weights: Any, *, activations: Any = np.uint8, zero: int = 128) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        "xs": np.array(2 / np.iinfo(activations).max, np.float32), "xz": np.array(zero, activations),
        "w": (rng.integers(-127, 128, (16, 8, 3, 3)) + (128 if weights is np.uint8 else 0)).astype(weights),
        "ws": rng.uniform(0.001, 0.002, 16).astype(np.float32),
        "wz": np.full(16, 128 if weights is np.uint8 else 0, weights),
        "ys": np.array(16 / np.iinfo(activations).max, np.float32), "yz": np.array(zero, activations),
    }  # fmt: skip


def converted(model: Path, folder: Path) -> Path:
    xml = folder / "m.xml"
    modelbuild.save_model(modelbuild.convert_model(model), xml)
    return xml


def kernels(xml: Path, kind: str) -> Counter[str]:
    """The precisions that the layers of a kind are computed in."""
    import openvino

    compiled = openvino.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = [layer.get_rt_info() for layer in compiled.get_runtime_model().get_ops()]
    return Counter(n["runtimePrecision"].astype(str) for n in layers if n["layerType"].astype(str) == kind)


@pytest.mark.parametrize("weights", [np.int8, np.uint8])
@pytest.mark.parametrize("form", FORMS)
def test_a_convolution_is_computed_on_bytes(form: str, weights: Any, tmp_path: Path) -> None:
    xml = converted(saved(tmp_path, form, constants(weights)), tmp_path)
    assert kernels(xml, "Convolution") == {"u8": 1}


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [("ultraface_RFB320_qdq_u8s8_perchannel", "Convolution", 52), ("mtcnn_onet_qoperator_u8u8", "FullyConnected", 4)],
)
def test_a_real_quantised_model_is_computed_on_bytes(name: str, kind: str, count: int, tmp_path: Path) -> None:
    # The filters of the second have zero points other than 128, for which the CPU plugin has no kernel of bytes.
    if CORPUS is None:
        pytest.skip("the corpus of real models is not here")
    xml = converted(CORPUS / "onnx" / name / "model.onnx", tmp_path)
    assert kernels(xml, kind) == {"u8": count}


@pytest.mark.parametrize("activations", [np.uint16, np.int16])
def test_sixteen_bits_are_computed_right(activations: Any, tmp_path: Path) -> None:
    zero = 40_000 if activations is np.uint16 else -77
    model = saved(tmp_path, "QDQ", constants(np.int8, activations=activations, zero=zero))
    opset = onnx.load(model)
    opset.opset_import[0].version = 21
    model.write_bytes(opset.SerializeToString())
    x = np.random.default_rng(1).uniform(-1, 1, (1, 8, 16, 16)).astype(np.float32)
    (want,) = Reference(model).run({"x": x}).values()
    (got,) = Session(converted(model, tmp_path)).run({"x": x}).values()
    step = 16 / np.iinfo(activations).max
    assert np.abs(want).max() > 100 * step
    np.testing.assert_allclose(got, want, rtol=0, atol=1.01 * step)
