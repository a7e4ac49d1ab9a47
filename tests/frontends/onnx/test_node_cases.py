"""ONNX's own cases for the operators that compute, with the numpy meaning of what they are translated to."""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from modelbuild.frontends.onnx.frontend import read, to_graph
from modelbuild.frontends.onnx.registry import onnx as table
from modelbuild.graph.evaluate import evaluate
from modelbuild.tensor.dtype import Array

FAMILIES = frozenset(
    {
        "activation",
        "attention",
        "control",
        "convolution",
        "detection",
        "elementwise",
        "matmul",
        "normalization",
        "pooling",
        "qlinear",
        "quantize",
        "recurrent",
        "reduction",
        "resize",
        "signal",
        "training",
    }
)
OPERATORS = {
    name
    for _, name, _, handler in table
    if handler.__module__.removeprefix("modelbuild.frontends.onnx.handlers.") in FAMILIES
}
LEFT_OUT = re.compile(
    r"gridsample_volumetric"  # refused: the operation knows images of two dimensions only
    r"|equal_string"  # arrays of text compare in numpy, and nowhere in the runtime
    r"|_seq|_opt"  # sequences and optionals have no translation
    r"|int2$"  # OpenVINO has no two bits with a sign, ml_dtypes none without
    r"|lstm_with_peepholes"  # refused
    r"|melweightmatrix"  # its inputs must be constants
    r"|roialign"  # has no numpy meaning
    r"|resize_downsample_scales_.*_align_corners"  # ONNX ends them at a fraction of an element, all runtimes at a whole
)


SLOW = {"attention", "averagepool", "lppool", "maxpool"}
"""Modules that take seconds to make their cases; the poolings are in ``test_arithmetic_forms``."""


@cache
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        for module in pkgutil.iter_modules(node.__path__):
            if module.name not in SLOW:
                importlib.import_module(f"{node.__name__}.{module.name}")
    found = node._NodeTestCases
    return {
        c.name.removeprefix("test_"): c
        for c in found
        if len(c.model.graph.node) == 1 and c.model.graph.node[0].op_type in OPERATORS and not LEFT_OUT.search(c.name)
    }


def array(value: Any) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


@pytest.mark.parametrize("name", sorted(cases()))
def test_translation_computes_what_the_operator_does(name: str, tmp_path: Path) -> None:
    """The first input comes at run time, the others are constants, as they nearly always are in models."""
    case = cases()[name]
    for given, expected in case.data_sets:
        inputs, wanted = ([array(v) for v in values] for values in (given, expected))
        first, *others = case.model.graph.input
        model = ModelProto()
        model.CopyFrom(case.model)
        model.graph.initializer.extend(
            numpy_helper.from_array(content, info.name) for info, content in zip(others, inputs[1:], strict=True)
        )
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        graph = to_graph(read(path))
        assert [v.names[0] for v in graph.inputs] == [first.name]
        got = evaluate(graph, [inputs[0]])
        for have, want, value in zip(got, wanted, graph.outputs, strict=True):
            assert have.dtype == want.dtype == value.fact.dtype.numpy
            assert have.shape == want.shape
            half = have.dtype.name in {"float16", "bfloat16"}
            np.testing.assert_allclose(
                have.astype(np.float64), want.astype(np.float64), rtol=1e-2 if half else 1e-3, atol=1e-5
            )
