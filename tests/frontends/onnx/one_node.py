"""Models of one node, and what onnxruntime and the translation make of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from modelbuild.frontends.onnx.frontend import read, to_graph
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate
from modelbuild.tensor.dtype import Array

Inputs = Mapping[str, Array | None]


def model(
    operator: str, inputs: Inputs, constants: Inputs, *, opset: int, domain: str = "", outputs: int = 1,
    free: bool = False, **attributes: Any,
) -> ModelProto:  # fmt: skip
    """``inputs`` in the operator's order, ``None`` for one left out; then ``constants``. ``free``: unknown extents."""
    given = [*inputs.items(), *constants.items()]
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(
        operator, [n if v is not None else "" for n, v in given], names, name="node", domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node],
        "one",
        [_info(name, array, free=free) for name, array in inputs.items() if array is not None],
        [helper.make_empty_tensor_value_info(name) for name in names],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if v is not None],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _info(name: str, array: Array, *, free: bool) -> Any:
    shape = [f"{name}_{i}" for i in range(array.ndim)] if free else array.shape
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def translated(proto: ModelProto, folder: Path) -> Graph:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return to_graph(read(path))


def computed(graph: Graph, inputs: Inputs) -> list[Array]:
    return evaluate(graph, [np.asarray(inputs[v.names[0]]) for v in graph.inputs])


def by_onnxruntime(proto: ModelProto, inputs: Inputs) -> list[Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made: list[Array] = session.run(None, {k: v for k, v in inputs.items() if v is not None})
    return made
