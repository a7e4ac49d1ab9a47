"""Forty combinations of options on real models, against what their framework answers to inputs prepared in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from combinations import COMBINATIONS, PICTURES, Picture, spelled_out
from corpus import CORPUS

from modelbuild import convert_model, save_model
from modelbuild.frontends.load import read_source
from modelbuild.options import specified
from modelbuild.runtime.prepare import for_source
from modelbuild.tensor.dtype import ElementType

TOLERANCE = 1e-4
"""Of the greatest number of the reference."""


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
