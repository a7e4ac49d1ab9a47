"""Forty combinations of options on real models, against what their framework answers to inputs prepared in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import CORPUS

from modelbuild import convert_model, save_model
from modelbuild.frontends.load import read_source
from modelbuild.options import specified
from modelbuild.runtime.prepare import for_source
from modelbuild.tensor.dtype import ElementType

TOLERANCE = 1e-4
"""Of the greatest number of the reference."""


@dataclass(frozen=True)
class Picture:
    """The input of a model; ``last`` where its channels come last."""

    model: str
    input: str
    shape: tuple[int, int, int, int]
    last: bool


PICTURES = [
    Picture("mtcnn_pnet", "input_1", (1, 20, 24, 3), last=True),
    Picture("mtcnn_rnet", "input_2", (1, 24, 24, 3), last=True),
    Picture("ppocr_v2_cls", "x", (1, 3, 48, 192), last=False),
    Picture("ultraface_slim-320", "input", (1, 3, 240, 320), last=False),
]
MEAN = {"mean_values": (123.675, 116.28, 103.53)}
SCALE = {"scale_values": (58.395, 57.12, 57.375)}
REVERSE = {"reverse_input_channels": True}
BYTES = {"input_type": "u8"}
MOVED = {"layout": "->"}
"""The axes of the delivered model are those that the source does not have."""

COMBINATIONS: list[dict[str, Any]] = [
    MEAN,
    SCALE,
    REVERSE,
    MOVED,
    {"scale": 255},
    {"batch": 2} | SCALE,
    MEAN | SCALE | REVERSE,
    MEAN | {"scale": 127.5} | BYTES,
    MEAN | SCALE | REVERSE | BYTES | MOVED,
    REVERSE | BYTES | {"scale": 255, "batch": 3} | MOVED,
]


@pytest.mark.models
@pytest.mark.parametrize("options", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.model)
def test_a_real_model_prepares_its_inputs(picture: Picture, options: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    from modelbuild.runtime.reference import Reference
    from modelbuild.runtime.session import Session

    if CORPUS is None:
        pytest.skip("the corpus of real models is not here")
    source = CORPUS / "onnx" / picture.model / "model.onnx"
    said = {"input": None, "output": None, "freeze": None, **spelled_out(picture, options)}
    batch = said.pop("batch", None)
    save_model(convert_model(source, batch=batch, **said), tmp_path / "m.xml", compress_to_fp16=False)
    session, reference = Session(tmp_path / "m.xml"), Reference(source)
    (fact,) = session.inputs.values()
    order = (0, 3, 1, 2) if picture.last else (0, 2, 3, 1)
    shape = [batch or 1, *picture.shape[1:]]
    given = [shape[axis] for axis in order] if "layout" in options else shape
    assert fact.dtype is ElementType(options.get("input_type", "f32"))
    image = np.random.default_rng(3).integers(0, 256, given).astype(fact.dtype.numpy)
    specs = {spec.name: spec for spec in specified(read_source(source), **said)}
    prepared = for_source({picture.input: image}, specs, reference.inputs)[picture.input]
    # One by one: a source may be written for a batch of one.
    answers = [reference.run({picture.input: one[np.newaxis]}) for one in prepared]
    found = session.run({picture.input: image})
    for name in reference.outputs:
        array = np.concatenate([answer[name] for answer in answers])
        np.testing.assert_allclose(found[name], array, rtol=0, atol=TOLERANCE * float(np.abs(array).max()))


def spelled_out(picture: Picture, options: dict[str, Any]) -> dict[str, Any]:
    """Every option of an input, with its name."""
    own, other = ("NHWC", "NCHW") if picture.last else ("NCHW", "NHWC")
    return {
        "input_shape": None if "batch" in options else {picture.input: picture.shape},
        "source_layout": None,
        "target_layout": None,
        "mean_values": None,
        "scale_values": None,
        "scale": None,
        "reverse_input_channels": False,
        **options,
        "layout": f"{own}->{other}" if "layout" in options else own,
        "input_type": {picture.input: options["input_type"]} if "input_type" in options else None,
    }
