"""Images whose channels come last: as numpy moves them to where the standard operators want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.runtime.reference import Reference
from modelbuild.tensor.dtype import Array


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def first(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


WINDOW: dict[str, Any] = {"pads": (1, 0, 1, 2), "strides": (2, 1), "dilations": (1, 2), "group": 2}


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("operator", ["NhwcConv", "NhwcFusedConv"])
def test_convolution(operator: str, tmp_path: Path, *, symbolic: bool) -> None:
    x, w, b = data(2, 7, 8, 4), data(6, 2, 3, 3), data(6)
    given = {"x": first(x), "w": w, "b": b}
    wanted = Reference(Use("Conv", "", given, WINDOW, fixed=("w", "b")).save(tmp_path)).run({"x": first(x)})["y"]
    wanted = np.moveaxis(wanted, 1, -1)
    inputs, attributes = {"x": x, "w": w, "b": b}, dict(WINDOW)
    if operator == "NhwcFusedConv":
        inputs["z"] = data(*wanted.shape)
        attributes["activation"] = "Relu"
        wanted = np.maximum(wanted + inputs["z"], 0)
    compare(Use(operator, MICROSOFT, inputs, attributes, fixed=("w", "b"), symbolic=symbolic), [wanted], tmp_path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_greatest_of_a_window(dtype: type[np.integer[Any]], tmp_path: Path) -> None:
    limits = np.iinfo(dtype)
    x = np.random.default_rng(3).integers(limits.min, limits.max, (2, 6, 7, 5)).astype(dtype)
    attributes = {"kernel_shape": (3, 2), "strides": (2, 2), "pads": (1, 0, 1, 1)}
    check(Use("NhwcMaxPool", MICROSOFT, {"x": x}, attributes), tmp_path)
