"""ONNX changes of element type."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.frontends.onnx.tensors import element_type
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType


def type_named(build: Build, number: int) -> ElementType:
    """The element type of an attribute; refuses those that OpenVINO has not."""
    try:
        found = element_type(number)
    except ValueError as why:
        raise build.refuse(str(why)) from why
    if found is None:
        raise ValueError("the element type is undefined")
    return found


@onnx.op("Cast", since=6)
def cast_6(build: Build, x: Value, *, to: int) -> Value:
    return _cast(build, x, type_named(build, to))


@onnx.op("Cast", since=19)
def cast_19(build: Build, x: Value, *, to: int, saturate: int = 1) -> Value:
    return _cast(build, x, type_named(build, to), saturate=bool(saturate))


@onnx.op("Cast", since=24)
def cast_24(build: Build, x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    return _cast(build, x, type_named(build, to), saturate=bool(saturate), round_mode=round_mode)


@onnx.op("CastLike", since=15)
def cast_like_15(build: Build, x: Value, target_type: Value) -> Value:
    return _cast(build, x, target_type.fact.dtype)


@onnx.op("CastLike", since=19)
def cast_like_19(build: Build, x: Value, target_type: Value, *, saturate: int = 1) -> Value:
    return _cast(build, x, target_type.fact.dtype, saturate=bool(saturate))


@onnx.op("CastLike", since=24)
def cast_like_24(build: Build, x: Value, target_type: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    return _cast(build, x, target_type.fact.dtype, saturate=bool(saturate), round_mode=round_mode)


def _cast(build: Build, x: Value, to: ElementType, *, saturate: bool = True, round_mode: str = "up") -> Value:
    if to is ElementType.f8e8m0 and x.fact.dtype is not to:
        raise build.refuse(f"{x.fact.dtype} is rounded {round_mode} to f8e8m0, the runtime rounds to the nearest")
    if ElementType.string in {x.fact.dtype, to} and x.fact.dtype is not to:
        if x.fact.value is None:
            raise build.refuse(f"{x.fact.dtype} cannot become {to} at run time")
        return build.const(_through_text(x.fact.value.numpy(), to))
    if saturate and to in _LARGEST and x.fact.dtype.is_real:
        return _saturated(build, x, to)
    return converted(build, x, to)


_LARGEST = {ElementType.f8e4m3: 448.0, ElementType.f8e5m2: 57344.0}


def _saturated(build: Build, x: Value, to: ElementType) -> Value:
    """What is too large becomes the largest number, and NaN stays.

    The runtime's conversion makes NaN or infinity of what is too large, and its clamp a number of NaN.
    """
    most = _LARGEST[to]
    clamped = build(ops.Clamp(-most, most), x)
    return build(ops.Convert(to), build(ops.Select(), build(ops.IsNaN(), x), x, clamped))


def _through_text(array: Array, to: ElementType) -> Array:
    if to is not ElementType.string:
        numbers = [float(text) for text in array.flat]
        return np.array(numbers, np.float64).reshape(array.shape).astype(to.numpy)
    texts = np.empty(array.size, object)
    texts[:] = [_spelled(number) for number in array.flat]
    return texts.reshape(array.shape)


def _spelled(number: object) -> str:
    if isinstance(number, np.floating):
        return "NaN" if np.isnan(number) else str(number).upper() if np.isinf(number) else str(number)
    return str(number)


@onnx.op("BitCast", since=26)
def bit_cast(build: Build, x: Value, *, to: int) -> Value:
    dtype = type_named(build, to)
    if dtype is x.fact.dtype:
        return x
    if dtype.bits != x.fact.dtype.bits:
        raise ValueError(f"the bits of {x.fact.dtype} are not as many as those of {dtype}")
    if dtype.is_integer and not x.fact.dtype.is_real:
        # Between integers of one size a conversion keeps the bits, and truth is 1.
        return build(ops.Convert(dtype), x)
    if x.fact.value is None:
        raise build.refuse(f"the bits of {x.fact.dtype} cannot be taken as {dtype} at run time")
    return build.const(x.fact.value.numpy().view(dtype.numpy))
