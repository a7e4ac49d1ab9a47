"""What is computed from numbers that come at run time is what comes of the same numbers known before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import Use, check, compare
from onnx.reference import ReferenceEvaluator

from modelbuild.graph.evaluate import evaluate
from modelbuild.tensor.dtype import Array


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def both_ways(
    op: str, inputs: Mapping[str, Array | None], numbers: tuple[str, ...], folder: Path, *, symbolic: bool = False,
    **attributes: Any,
) -> None:  # fmt: skip
    """Also on OpenVINO's runtime."""
    before = Use(op, "", inputs, attributes, fixed=[n for n in numbers if inputs[n] is not None]).graph(folder)
    feeds = [a for n, a in inputs.items() if a is not None and n not in numbers]
    wanted = evaluate(before, feeds)
    compare(Use(op, "", inputs, attributes, symbolic=symbolic, loose=2e-5), wanted, folder)


def f(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


ROI = f(0.1, 0.2, 0.7, 1.1)
DOWN_AND_UP = f(0.6, 1.7)
WAYS: list[dict[str, Any]] = [
    {"mode": "cubic", "antialias": 1},
    {"mode": "linear", "antialias": 1},
    {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "asymmetric"},
    {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
    {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5},
    {"mode": "cubic", "coordinate_transformation_mode": "half_pixel_symmetric"},
    {"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "half_pixel_symmetric"},
    {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "half_pixel_symmetric"},
    {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0},
    {"mode": "nearest", "coordinate_transformation_mode": "tf_crop_and_resize"},
    {
        "mode": "nearest", "nearest_mode": "round_prefer_ceil", "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": -1.0,
    },
]  # fmt: skip


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_images_are_resized(way: dict[str, Any], tmp_path: Path, *, symbolic: bool) -> None:
    inputs = {"x": data(1, 2, 7, 5), "roi": ROI if "crop" in str(way) else None, "scales": DOWN_AND_UP}
    both_ways("Resize", inputs, ("roi", "scales"), tmp_path, symbolic=symbolic, axes=(2, 3), **way)


def test_images_are_resized_to_sizes(tmp_path: Path) -> None:
    inputs = {"x": data(1, 2, 7, 5), "roi": None, "scales": None, "sizes": np.array([1, 2, 4, 9], np.int64)}
    both_ways("Resize", inputs, ("sizes",), tmp_path, mode="linear", antialias=1)


@pytest.mark.parametrize("outside", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("align", [0, 1])
def test_volumes_are_read_at_points(tmp_path: Path, mode: str, outside: str, align: int) -> None:
    given = {"x": data(2, 3, 4, 5, 6), "grid": data(2, 2, 3, 4, 3)}
    attributes = {"mode": mode, "padding_mode": outside, "align_corners": align}
    check(Use("GridSample", "", given, attributes, symbolic=bool(align), loose=1e-4), tmp_path)


@pytest.mark.parametrize("window", [{}, {"strides": (2, 1, 1), "dilations": (1, 1, 2), "pads": (1, 0, 2, 0, 1, 1)}])
def test_patches_of_volumes_are_added_up(window: dict[str, Any], tmp_path: Path) -> None:
    """By ONNX's own evaluation: onnxruntime leaves dilations out where images have three axes."""
    image, block = np.array([4, 5, 6], np.int64), np.array([2, 1, 3], np.int64)
    places = 3 * 5 * 4 if not window else 2 * 6 * 5
    given = {"x": data(2, 3 * 6, places), "image": image, "block": block}
    use = Use("Col2Im", "", given, window)
    compare(use, [np.asarray(v) for v in ReferenceEvaluator(use.model()).run(None, given)], tmp_path)


def test_mel_weights(tmp_path: Path) -> None:
    numbers: dict[str, Array | None] = {
        "bins": np.array(10, np.int64), "length": np.array(64, np.int64), "rate": np.array(8000, np.int64),
        "low": np.array(60, np.float32), "high": np.array(3900, np.float32),
    }  # fmt: skip
    both_ways("MelWeightMatrix", numbers, tuple(numbers), tmp_path)
