"""ONNX operators that make tensors from a few numbers."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Ints, Strings
from modelbuild.frontends.onnx.handlers.convert import type_named
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, as_scalar, converted, extent_of
from modelbuild.frontends.source import SparseTensor
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import decide_equal
from modelbuild.tensor.storage import Tensor


@onnx.op("Constant", since=1)
def constant_1(build: Build, *, value: Tensor) -> Value:
    return build.const(value)


@onnx.op("Constant", since=11)
def constant_11(build: Build, *, value: Tensor | None = None, sparse_value: SparseTensor | None = None) -> Value:
    return constant_12(build, value=value, sparse_value=sparse_value)


@onnx.op("Constant", since=12)
def constant_12(
    build: Build,
    *,
    value: Tensor | None = None,
    sparse_value: SparseTensor | None = None,
    value_float: float | None = None,
    value_floats: Floats | None = None,
    value_int: int | None = None,
    value_ints: Ints | None = None,
    value_string: str | None = None,
    value_strings: Strings | None = None,
) -> Value:
    if value is not None:
        return build.const(value)
    if sparse_value is not None:
        return build.const(sparse_value.dense())
    listed = {
        np.float32: value_float if value_floats is None else value_floats,
        np.int64: value_int if value_ints is None else value_ints,
        np.object_: value_string if value_strings is None else value_strings,
    }
    for kind, content in listed.items():
        if content is not None:
            return build.const(np.array(content, kind))
    raise ValueError("it has no value")


@onnx.op("ConstantOfShape", since=9)
def constant_of_shape(build: Build, shape: Value, *, value: Tensor | None = None) -> Value:
    filler = build.scalar(0, ElementType.f32) if value is None else as_scalar(build, build.const(value))
    return build(ops.Broadcast(), filler, as_list(build, shape))


@onnx.op("EyeLike", since=9)
def eye_like(build: Build, x: Value, *, dtype: int | None = None, k: int = 0) -> Value:
    element = x.fact.dtype if dtype is None else type_named(build, dtype)
    return build(ops.Eye(element), extent_of(build, x, 0), extent_of(build, x, 1), build.scalar(k))


@onnx.op("OneHot", since=9)
def one_hot(build: Build, indices: Value, depth: Value, values: Value, *, axis: int = -1) -> Value:
    """OpenVINO leaves negative indices off, ONNX counts them from the end."""
    if values.fact.shape is not None and (
        len(values.fact.shape) != 1 or decide_equal(values.fact.shape[0], 2) is False
    ):
        raise ValueError(f"values are {values.fact}, two numbers expected: off and on")
    count = as_scalar(build, converted(build, depth, ElementType.i64))
    places = converted(build, indices, ElementType.i64)
    negative = build(ops.Less(), places, build.scalar(0))
    counted = build(ops.Select(), negative, build(ops.Add(), places, count), places)
    off, on = (build(ops.Gather(), values, build.scalar(i), build.scalar(0)) for i in (0, 1))
    return build(ops.OneHot(axis), counted, count, on, off)
