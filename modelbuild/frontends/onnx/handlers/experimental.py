"""Operators that ONNX tried in its first years and took back; onnxruntime knows them still."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value


@onnx.op("Affine")
def affine(build: Build, x: Value, *, alpha: float = 1.0, beta: float = 0.0) -> Value:
    return build(ops.Add(), _times(build, x, alpha), number(build, beta, x))


@onnx.op("ImageScaler")
def image_scaler(build: Build, x: Value, *, bias: Floats = (), scale: float = 1.0) -> Value:
    """One bias a channel, after the scale."""
    shift = np.array(bias).astype(x.fact.dtype.numpy).reshape(1, -1, 1, 1)
    return build(ops.Add(), _times(build, x, scale), build.const(shift))


@onnx.op("ParametricSoftplus")
def parametric_softplus(build: Build, x: Value, *, alpha: float, beta: float) -> Value:
    return _times(build, build(ops.SoftPlus(), _times(build, x, beta)), alpha)


@onnx.op("ScaledTanh")
def scaled_tanh(build: Build, x: Value, *, alpha: float, beta: float) -> Value:
    return _times(build, build(ops.Tanh(), _times(build, x, beta)), alpha)


def _times(build: Build, x: Value, factor: float) -> Value:
    return build(ops.Multiply(), x, number(build, factor, x))
