"""Operators of ``com.microsoft`` on images whose channels come last."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Ints
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.convolution import conv
from modelbuild.frontends.onnx.handlers.fused import activated
from modelbuild.frontends.onnx.handlers.pooling import max_pool
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import channels_first
from modelbuild.graph import Value


@onnx.op("NhwcConv", domain=MICROSOFT)
def nhwc_conv(
    build: Build, x: Value, w: Value, b: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1, kernel_shape: Ints = (), pads: Ints = (),
    strides: Ints = (),
) -> Value:  # fmt: skip
    def convolved(data: Value) -> Value:
        return conv(
            build, data, w, b,
            auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
        )  # fmt: skip

    return channels_first(build, x, convolved)


@onnx.op("NhwcFusedConv", domain=MICROSOFT)
def nhwc_fused_conv(
    build: Build, x: Value, w: Value, b: Value | None = None, z: Value | None = None, *,
    activation: str = "", activation_params: Floats = (), auto_pad: str = "NOTSET", dilations: Ints = (),
    group: int = 1, kernel_shape: Ints = (), pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """``z``, whose channels come last too, is added before the activation."""
    y = nhwc_conv(
        build, x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return activated(build, y if z is None else build(ops.Add(), y, z), activation, activation_params)


@onnx.op("NhwcMaxPool", domain=MICROSOFT)
def nhwc_max_pool(
    build: Build, x: Value, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints = (), kernel_shape: Ints, pads: Ints = (),
    strides: Ints = (),
) -> Value:  # fmt: skip
    def pooled(data: Value) -> Value:
        values, _ = max_pool(
            build, data, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations, kernel_shape=kernel_shape,
            pads=pads, strides=strides,
        )  # fmt: skip
        return values

    return channels_first(build, x, pooled)
