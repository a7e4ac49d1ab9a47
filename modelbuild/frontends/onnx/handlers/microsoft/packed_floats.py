"""Weights of ``com.microsoft`` that are real numbers of a byte or less, with a scale for each block of a row."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized, quantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar, converted
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

_F8, _F4 = ElementType.f8e4m3, ElementType.f4e2m1


@onnx.op("MatMulBlockQuantizedFp8Weight", domain=MICROSOFT)
def matmul_fp8(
    build: Build, a: Value, b: Value, b_scale: Value, a_scale: Value | None = None, bias: Value | None = None, *,
    block_size: int = 128,
) -> Value:  # fmt: skip
    """With a scale of its own the other side is rounded to the same type."""
    if a_scale is not None:
        step = Scale(as_scalar(build, a_scale))
        rounded = dequantized(build, quantized(build, a, step, _F8), step)
        a = converted(build, rounded, a.fact.dtype)
    return _product(build, a, dequantized(build, b, Scale(b_scale, None, 1, block_size)), bias)


@onnx.op("MatMulBlockQuantizedFp4Weight", domain=MICROSOFT)
def matmul_fp4(
    build: Build, a: Value, b: Value, weight_scale: Value, weight_scale_2: Value, input_scale: Value | None = None,
    bias: Value | None = None, *, block_size: int = 16,
) -> Value:  # fmt: skip
    """Two numbers a byte, the first in the low half; a scale of all blocks' scales, which are bytes themselves."""
    del input_scale  # of devices that multiply such numbers
    rows, octets = _bytes(build, b).shape
    numbers = build.const(_seen_as(_bytes(build, b), _F4, (rows, 2 * octets)))
    scales = _bytes(build, weight_scale)
    factors = converted(build, build.const(_seen_as(scales, _F8, scales.shape)), ElementType.f32)
    factors = build(ops.Multiply(), factors, as_scalar(build, weight_scale_2))
    return _product(build, a, dequantized(build, numbers, Scale(factors, None, 1, block_size)), bias)


def _product(build: Build, a: Value, weights: Value, bias: Value | None) -> Value:
    y = build(ops.MatMul(transpose_b=True), a, converted(build, weights, a.fact.dtype))
    return y if bias is None else build(ops.Add(), y, bias)


def _bytes(build: Build, x: Value) -> Tensor:
    tensor = x.fact.value
    if tensor is None or len(tensor.shape) != 2:
        raise build.refuse(f"{x} is {x.fact}, a constant matrix of bytes is needed")
    return tensor


def _seen_as(octets: Tensor, dtype: ElementType, shape: tuple[int, ...]) -> Tensor:
    """The same bytes as numbers of another type."""
    if isinstance(octets, Mapped):
        return Mapped(octets.path, octets.offset, dtype, shape)
    flat = octets.numpy().reshape(-1)
    if dtype.bits == 4:
        flat = np.stack([flat & 15, flat >> 4], -1)
    return InMemory(flat.view(dtype.numpy).reshape(shape))
