"""ONNX operators on quantised tensors: the same on real numbers, between dequantising and quantising again."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.convolution import conv
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized, quantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.graph import Value


@onnx.op("QLinearConv", since=10)
def qlinear_conv(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value, w: Value, w_scale: Value, w_zero_point: Value,
    y_scale: Value, y_zero_point: Value, b: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1, kernel_shape: Ints = (), pads: Ints = (),
    strides: Ints = (),
) -> Value:  # fmt: skip
    """The bias counts in products of the scales of data and filters."""
    made = conv(
        build, dequantized(build, x, Scale(x_scale, x_zero_point)),
        dequantized(build, w, Scale(w_scale, w_zero_point, axis=0)),
        None if b is None else scaled_bias(build, b, x_scale, w_scale),
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return quantized(build, made, Scale(y_scale, y_zero_point), y_zero_point.fact.dtype)


def scaled_bias(build: Build, bias: Value, *scales: Value) -> Value:
    made = converted(build, bias, scales[0].fact.dtype)
    for scale in scales:
        made = build(ops.Multiply(), made, scale)
    return made


@onnx.op("QLinearMatMul", since=10)
def qlinear_matmul(
    build: Build, a: Value, a_scale: Value, a_zero_point: Value, b: Value, b_scale: Value, b_zero_point: Value,
    y_scale: Value, y_zero_point: Value,
) -> Value:  # fmt: skip
    """A list of scales has one a row of ``a``, one a column of ``b``, one a row of the result."""
    left = dequantized(build, a, Scale(a_scale, a_zero_point, axis=-2))
    right = dequantized(build, b, Scale(b_scale, b_zero_point, axis=-1))
    made = build(ops.MatMul(), left, right)
    return quantized(build, made, Scale(y_scale, y_zero_point, axis=-2), y_zero_point.fact.dtype)
