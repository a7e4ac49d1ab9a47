"""ONNX random numbers. A model without seeds gives other numbers in each run, one with seeds always the same."""

from __future__ import annotations

import math
import struct

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.convert import type_named
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32


@onnx.op("RandomUniform", since=1)
def random_uniform(
    build: Build, *, dtype: int = 1, high: float = 1.0, low: float = 0.0, seed: float | None = None, shape: Ints
) -> Value:
    return converted(build, _uniform(build, build.ints(*shape), low, high, _seed(seed)), type_named(build, dtype))


@onnx.op("RandomUniformLike", since=1)
def random_uniform_like(
    build: Build, x: Value, *,
    dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None,
) -> Value:  # fmt: skip
    to = x.fact.dtype if dtype is None else type_named(build, dtype)
    return converted(build, _uniform(build, shape_of(build, x), low, high, _seed(seed)), to)


@onnx.op("RandomNormal", since=1)
def random_normal(
    build: Build, *, dtype: int = 1, mean: float = 0.0, scale: float = 1.0, seed: float | None = None, shape: Ints
) -> Value:
    return converted(build, _normal(build, build.ints(*shape), mean, scale, _seed(seed)), type_named(build, dtype))


@onnx.op("RandomNormalLike", since=1)
def random_normal_like(
    build: Build, x: Value, *,
    dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None,
) -> Value:  # fmt: skip
    to = x.fact.dtype if dtype is None else type_named(build, dtype)
    return converted(build, _normal(build, shape_of(build, x), mean, scale, _seed(seed)), to)


@onnx.op("Bernoulli", since=15)
def bernoulli(build: Build, x: Value, *, dtype: int | None = None, seed: float | None = None) -> Value:
    """1 with the probability that an element of ``x`` is."""
    to = x.fact.dtype if dtype is None else type_named(build, dtype)
    drawn = _uniform(build, shape_of(build, x), 0, 1, _seed(seed))
    return build(ops.Convert(to), build(ops.Less(), drawn, converted(build, x, _F32)))


@onnx.op("Multinomial", since=7)
def multinomial(build: Build, x: Value, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Value:
    op = ops.Multinomial(type_named(build, dtype), with_replacement=True, log_probs=True, op_seed=_seed(seed))
    return build(op, x, build.ints(sample_size))


def _seed(seed: float | None) -> int:
    """Different seeds give different numbers; 0 is none."""
    if seed is None:
        return 0
    (bits,) = struct.unpack("<I", struct.pack("<f", seed))
    return int(bits) + 1


def _uniform(build: Build, shape: Value, low: float, high: float, seed: int) -> Value:
    if not low < high:
        raise ValueError(f"there is nothing between {low} and {high}")
    return build(ops.RandomUniform(_F32, op_seed=seed), shape, build.scalar(low, _F32), build.scalar(high, _F32))


def _normal(build: Build, shape: Value, mean: float, scale: float, seed: int) -> Value:
    """Box and Muller: a radius and an angle; a radius of 1 - u, because the logarithm of 0 is infinite."""
    one = build.scalar(1, _F32)
    radius = build(ops.Subtract(), one, _uniform(build, shape, 0, 1, seed))
    radius = build(ops.Multiply(), build(ops.Log(), radius), build.scalar(-2 * scale * scale, _F32))
    angle = _uniform(build, shape, 0, 2 * math.pi, seed + 1 if seed else 0)
    drawn = build(ops.Multiply(), build(ops.Sqrt(), radius), build(ops.Cos(), angle))
    return build(ops.Add(), drawn, build.scalar(mean, _F32))
