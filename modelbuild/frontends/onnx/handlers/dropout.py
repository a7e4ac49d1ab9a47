"""ONNX's Dropout: nothing is dropped, unless the model says that it is being trained."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar, converted, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("Dropout", since=6)
def dropout_6(build: Build, data: Value, *, is_test: int = 0, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _all_kept(build, data, data.fact.dtype)


@onnx.op("Dropout", since=7)
def dropout_7(build: Build, data: Value, *, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _all_kept(build, data, data.fact.dtype)


@onnx.op("Dropout", since=10)
def dropout_10(build: Build, data: Value, *, ratio: float = 0.5) -> tuple[Value, Value | None]:
    return data, _all_kept(build, data, ElementType.boolean)


@onnx.op("Dropout", since=12)
def dropout_12(
    build: Build,
    data: Value,
    ratio: Value | None = None,
    training_mode: Value | None = None,
    *,
    seed: int | None = None,
) -> tuple[Value, Value | None]:
    training = training_mode is not None and (training_mode.fact.value is None or _any(training_mode))
    if (
        training_mode is None
        or not training
        or (ratio is not None and ratio.fact.value is not None and not _any(ratio))
    ):
        return data, _all_kept(build, data, ElementType.boolean)
    rate = (
        build.scalar(0.5, ElementType.f32)
        if ratio is None
        else converted(build, as_scalar(build, ratio), ElementType.f32)
    )
    return _dropped(build, data, rate, as_scalar(build, training_mode), seed or 0)


@onnx.op("BitmaskDropout", domain=MICROSOFT)
def bitmask_dropout(
    build: Build, data: Value, ratio: Value | None = None, training_mode: Value | None = None, *,
    seed: int | None = None,
) -> Value:  # fmt: skip
    if build.wants(1):
        raise build.refuse("its mask, 32 elements in a number, is wanted")
    return dropout_12(build, data, ratio, training_mode, seed=seed)[0]


@onnx.op("BitmaskBiasDropout", domain=MICROSOFT)
def bitmask_bias_dropout(
    build: Build, data: Value, bias: Value, residual: Value | None = None, ratio: Value | None = None,
    training_mode: Value | None = None, *, seed: int | None = None,
) -> Value:  # fmt: skip
    y = bitmask_dropout(build, build(ops.Add(), data, bias), ratio, training_mode, seed=seed)
    return y if residual is None else build(ops.Add(), y, residual)


@onnx.op("BiasDropout", domain=MICROSOFT)
def bias_dropout(
    build: Build, data: Value, bias: Value, residual: Value | None = None, ratio: Value | None = None,
    training_mode: Value | None = None, *, seed: int | None = None,
) -> tuple[Value, Value | None]:  # fmt: skip
    y, mask = dropout_12(build, build(ops.Add(), data, bias), ratio, training_mode, seed=seed)
    return y if residual is None else build(ops.Add(), y, residual), mask


def _any(value: Value) -> bool:
    return value.fact.value is not None and bool(np.any(value.fact.value.numpy()))


def _all_kept(build: Build, data: Value, dtype: ElementType) -> Value | None:
    if not build.wants(1):
        return None
    return build(ops.Broadcast(), build.scalar(1, dtype), shape_of(build, data))


def _dropped(build: Build, data: Value, rate: Value, training: Value, seed: int) -> tuple[Value, Value]:
    """Drop at random and scale what is left, so that the mean stays; at run time that may be switched off."""
    zero, one = (build.scalar(number, ElementType.f32) for number in (0, 1))
    share = build(ops.Select(), training, rate, zero)
    noise = build(ops.RandomUniform(ElementType.f32, op_seed=seed), shape_of(build, data), zero, one)
    kept = build(ops.GreaterEqual(), noise, share)
    factor = converted(build, build(ops.Divide(), one, build(ops.Subtract(), one, share)), data.fact.dtype)
    scaled = build(ops.Multiply(), data, factor)
    return build(ops.Select(), kept, scaled, build.scalar(0, data.fact.dtype)), kept
