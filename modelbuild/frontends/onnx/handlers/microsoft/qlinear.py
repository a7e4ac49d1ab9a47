"""Quantised operators of ``com.microsoft``: what onnxruntime's quantisation tools write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT, leaky_relu, softmax, softmax_of_matrix
from modelbuild.frontends.onnx.handlers.pooling import average_pool, global_average_pool
from modelbuild.frontends.onnx.handlers.qlinear import qlinear_conv, scaled_bias
from modelbuild.frontends.onnx.handlers.quantize import (
    Scale,
    dequantize_linear,
    dequantized,
    dynamic_scale,
    quantize_linear,
    quantized,
)
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import channels_first
from modelbuild.graph import Op, Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("QuantizeLinear", domain=MICROSOFT)
def quantize_linear_microsoft(
    build: Build, x: Value, y_scale: Value, y_zero_point: Value | None = None, *, axis: int = 1
) -> Value:
    return quantize_linear(build, x, y_scale, y_zero_point, axis=axis)


@onnx.op("DequantizeLinear", domain=MICROSOFT)
def dequantize_linear_microsoft(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None = None, *, axis: int = 1
) -> Value:
    return dequantize_linear(build, x, x_scale, x_zero_point, axis=axis)


def _around(build: Build, x: Value, given: Scale, wanted: Scale, make: Callable[[Value], Value]) -> Value:
    """``make`` of real numbers for a quantised tensor, quantised again to its type."""
    return quantized(build, make(dequantized(build, x, given)), wanted, x.fact.dtype)


def _binary(op: Op) -> Callable[..., Value]:
    def handler(
        build: Build, a: Value, a_scale: Value, a_zero_point: Value | None,
        b: Value, b_scale: Value, b_zero_point: Value | None, c_scale: Value, c_zero_point: Value | None = None,
    ) -> Value:  # fmt: skip
        right = dequantized(build, b, Scale(b_scale, b_zero_point))
        return _around(
            build, a, Scale(a_scale, a_zero_point), Scale(c_scale, c_zero_point), lambda left: build(op, left, right)
        )

    return handler


onnx.op("QLinearAdd", domain=MICROSOFT)(_binary(ops.Add()))
onnx.op("QLinearMul", domain=MICROSOFT)(_binary(ops.Multiply()))


@onnx.op("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None, y_scale: Value,
    y_zero_point: Value | None = None,
) -> Value:  # fmt: skip
    return _around(
        build, x, Scale(x_scale, x_zero_point), Scale(y_scale, y_zero_point), lambda v: build(ops.Sigmoid(), v)
    )


@onnx.op("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None, y_scale: Value,
    y_zero_point: Value | None = None, *, alpha: float = 0.01,
) -> Value:  # fmt: skip
    given, wanted = Scale(x_scale, x_zero_point), Scale(y_scale, y_zero_point)
    return _around(build, x, given, wanted, lambda v: leaky_relu(build, v, alpha=alpha))


@onnx.op("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None, y_scale: Value, y_zero_point: Value, *,
    axis: int = -1, opset: int,
) -> Value:  # fmt: skip
    """``opset`` says which of ONNX's two meanings of ``axis`` holds."""
    form = softmax if opset >= 13 else softmax_of_matrix
    given, wanted = Scale(x_scale, x_zero_point), Scale(y_scale, y_zero_point)
    return _around(build, x, given, wanted, lambda v: form(build, v, axis=axis))


@onnx.op("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(build: Build, y_scale: Value, y_zero_point: Value, first: Value, *others: Value, axis: int) -> Value:
    """After the result's scale, each part comes as three inputs: itself, its scale, its zero point."""
    inputs = (first, *others)
    if len(inputs) % 3:
        raise ValueError(f"{len(inputs)} inputs do not make parts of three")
    parts = [dequantized(build, *_part(inputs[i : i + 3])) for i in range(0, len(inputs), 3)]
    made = build(ops.Concat(axis), *parts)
    return quantized(build, made, Scale(y_scale, y_zero_point), y_zero_point.fact.dtype)


def _part(three: Sequence[Value]) -> tuple[Value, Scale]:
    x, factor, zero = three
    return x, Scale(factor, zero)


@onnx.op("QLinearConv", domain=MICROSOFT)
def qlinear_conv_microsoft(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value, w: Value, w_scale: Value, w_zero_point: Value,
    y_scale: Value, y_zero_point: Value, b: Value | None = None, *,
    auto_pad: str = "NOTSET", channels_last: int = 0, dilations: Ints = (), group: int = 1, kernel_shape: Ints = (),
    pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    def convolved(data: Value) -> Value:
        return qlinear_conv(
            build, data, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b,
            auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
        )  # fmt: skip

    return channels_first(build, x, convolved) if channels_last else convolved(x)


@onnx.op("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None, y_scale: Value,
    y_zero_point: Value | None = None, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, channels_last: int = 0, count_include_pad: int = 0,
    kernel_shape: Ints, pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    def pooled(data: Value) -> Value:
        return average_pool(
            build, data, auto_pad=auto_pad, ceil_mode=ceil_mode, count_include_pad=count_include_pad,
            kernel_shape=kernel_shape, pads=pads, strides=strides,
        )  # fmt: skip

    given, wanted = Scale(x_scale, x_zero_point), Scale(y_scale, y_zero_point)
    return _around(build, x, given, wanted, lambda v: channels_first(build, v, pooled) if channels_last else pooled(v))


@onnx.op("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value, y_scale: Value, y_zero_point: Value, *,
    channels_last: int = 0,
) -> Value:  # fmt: skip
    def pooled(data: Value) -> Value:
        return global_average_pool(build, data)

    given, wanted = Scale(x_scale, x_zero_point), Scale(y_scale, y_zero_point)
    return _around(build, x, given, wanted, lambda v: channels_first(build, v, pooled) if channels_last else pooled(v))


@onnx.op("QLinearReduceMean", domain=MICROSOFT)
def qlinear_reduce_mean(
    build: Build, data: Value, data_scale: Value, data_zero_point: Value | None, reduced_scale: Value,
    reduced_zero_point: Value | None = None, *, axes: Ints, keepdims: int,
) -> Value:  # fmt: skip
    given, wanted = Scale(data_scale, data_zero_point), Scale(reduced_scale, reduced_zero_point)
    op = ops.ReduceMean(keep_dims=bool(keepdims))
    return _around(build, data, given, wanted, lambda v: build(op, v, build.ints(*axes)))


@onnx.op("QLinearWhere", domain=MICROSOFT)
def qlinear_where(
    build: Build, condition: Value, x: Value, x_scale: Value, x_zero_point: Value, y: Value, y_scale: Value,
    y_zero_point: Value, z_scale: Value, z_zero_point: Value,
) -> Value:  # fmt: skip
    otherwise = dequantized(build, y, Scale(y_scale, y_zero_point))
    given, wanted = Scale(x_scale, x_zero_point), Scale(z_scale, z_zero_point)
    return _around(build, x, given, wanted, lambda v: build(ops.Select(), condition, v, otherwise))


@onnx.op("QGemm", domain=MICROSOFT)
def qgemm(
    build: Build, a: Value, a_scale: Value, a_zero_point: Value, b: Value, b_scale: Value, b_zero_point: Value,
    c: Value | None = None, y_scale: Value | None = None, y_zero_point: Value | None = None, *,
    alpha: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803 - ONNX's names
) -> Value:  # fmt: skip
    """``c`` counts in products of the scales of ``a`` and ``b``; without ``y_scale`` the result stays real."""
    left = dequantized(build, a, Scale(a_scale, a_zero_point))
    right = dequantized(build, b, Scale(b_scale, b_zero_point, axis=0 if transB else 1))
    made = build(ops.MatMul(bool(transA), bool(transB)), left, right)
    if c is not None:
        made = build(ops.Add(), made, scaled_bias(build, c, a_scale, b_scale))
    if alpha != 1:
        made = build(ops.Multiply(), made, build.scalar(alpha, made.fact.dtype))
    if y_scale is None:
        return made
    to = a.fact.dtype if y_zero_point is None else y_zero_point.fact.dtype
    return quantized(build, made, Scale(y_scale, y_zero_point), to)


@onnx.op("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    build: Build, a: Value, b: Value, b_scale: Value, b_zero_point: Value | None = None, bias: Value | None = None
) -> Value:
    factor, zero = dynamic_scale(build, a)
    scale = Scale(factor, build(ops.Convert(ElementType.u8), zero))
    left = dequantized(build, quantized(build, a, scale, ElementType.u8), scale)
    return _product(build, left, b, Scale(b_scale, b_zero_point, axis=-1), bias)


@onnx.op("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    build: Build, a: Value, b: Value, a_scale: Value, b_scale: Value, a_zero_point: Value | None = None,
    b_zero_point: Value | None = None, bias: Value | None = None,
) -> Value:  # fmt: skip
    left = dequantized(build, a, Scale(a_scale, a_zero_point, axis=-2))
    return _product(build, left, b, Scale(b_scale, b_zero_point, axis=-1), bias)


def _product(build: Build, left: Value, b: Value, scale: Scale, bias: Value | None) -> Value:
    made = build(ops.MatMul(), left, dequantized(build, b, scale))
    return made if bias is None else build(ops.Add(), made, bias)
