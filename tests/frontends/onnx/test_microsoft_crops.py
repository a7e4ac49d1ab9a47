"""Crops of images are here what onnxruntime computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import Array

BOXES = np.array(
    [[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6], [0.9, 0.8, 0.1, 0.3], [-0.37, 0.4, 0.5, 1.2], [0.5, 0.5, 0.5, 0.5]], np.float32
)


def crops(height: int, width: int, *, boxes: Array = BOXES, **how: Any) -> Use:
    image = np.random.default_rng(3).standard_normal((2, 3, 6, 5)).astype(np.float32)
    which = np.array([0, 1, 1, 0, 1], np.int32)[: len(boxes)]
    inputs = {"x": image, "boxes": boxes, "which": which, "size": np.array([height, width], np.int32)}
    return Use("CropAndResize", MICROSOFT, inputs, how.pop("attributes", {}), fixed=("size",), **how)


@pytest.mark.parametrize(
    "use",
    [
        crops(3, 4),
        crops(3, 4, attributes={"mode": "nearest"}),
        crops(1, 4),
        crops(2, 1, attributes={"extrapolation_value": 7.0}),
        crops(3, 4, symbolic=True),
        crops(6, 5, boxes=BOXES[:1]),
        crops(11, 9, boxes=BOXES[:2], attributes={"mode": "nearest"}),
    ],
)
def test_crops_are_what_onnxruntime_computes(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


def test_a_way_to_resize_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither bilinear nor nearest"):
        crops(3, 4, attributes={"mode": "cubic"}).graph(tmp_path)
