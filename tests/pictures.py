"""Small models of pictures: a convolution of ``image``, and what it gives, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelbuild.tensor.dtype import Array

FILTERS = np.random.default_rng(7).normal(size=(4, 3, 3, 3)).astype(np.float32)
MEAN = (123.5, 116.25, 103.0)
SCALE = (58.0, 57.0, 57.5)


def write(path: Path, shape: Sequence[int | str] = (1, 3, 8, 8), *, pads: int = 1, last: bool = False) -> Path:
    """``image`` -> Conv -> ``features`` -> Relu -> ``y``; with ``last`` the channels come last and are moved first."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    move = [helper.make_node("Transpose", ["image"], ["moved"], "move", perm=[0, 3, 1, 2])] if last else []
    nodes = [
        *move,
        helper.make_node("Conv", ["moved" if last else "image", "w"], ["features"], "conv", pads=[pads] * 4),
        helper.make_node("Relu", ["features"], ["y"], "relu"),
    ]
    weights = [numpy_helper.from_array(FILTERS, "w")]
    graph = helper.make_graph(nodes, "pictures", [image], [made], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def write_sum(path: Path) -> Path:
    """``a`` f32[2], ``b`` f32[2], ``n`` i64[1]  ->  ``ab`` = a + b, ``y`` = ab * n."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "ab"]
    values.append(helper.make_tensor_value_info("n", TensorProto.INT64, [1]))
    nodes = [
        helper.make_node("Add", ["a", "b"], ["ab"], "add"),
        helper.make_node("Cast", ["n"], ["m"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ab", "m"], ["y"], "mul"),
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    graph = helper.make_graph(nodes, "sum", values, made)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def convolved(image: Array, *, pads: int = 1) -> Array:
    """What the model gives for ``image``, channels second."""
    padded = np.pad(image.astype(np.float64), [(0, 0), (0, 0), (pads, pads), (pads, pads)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    made = np.einsum("nchwij,ocij->nohw", windows, FILTERS.astype(np.float64))
    return np.asarray(np.maximum(made, 0), np.float32)
