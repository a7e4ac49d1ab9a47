"""Recurrent operators of ``com.microsoft``."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Strings
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized
from modelbuild.frontends.onnx.handlers.recurrent import lstm
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Value


@onnx.op("DynamicQuantizeLSTM", domain=MICROSOFT)
def dynamic_quantize_lstm(
    build: Build, x: Value, w: Value, r: Value, b: Value | None, sequence_lens: Value | None, initial_h: Value | None,
    initial_c: Value | None, p: Value | None, w_scale: Value, w_zero_point: Value, r_scale: Value,
    r_zero_point: Value, *,
    activation_alpha: Floats = (), activation_beta: Floats = (), activations: Strings = (), clip: float = 0.0,
    direction: str = "forward", hidden_size: int | None = None, input_forget: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    """Weights of eight bits; the data, which onnxruntime rounds to as many on the way, stays as precise as it is."""
    return lstm(
        build, x, _rows(build, w, w_scale, w_zero_point), _rows(build, r, r_scale, r_zero_point), b, sequence_lens,
        initial_h, initial_c, p,
        activation_alpha=activation_alpha, activation_beta=activation_beta, activations=activations, clip=clip,
        direction=direction, hidden_size=hidden_size, input_forget=input_forget,
    )  # fmt: skip


def _rows(build: Build, weights: Value, scale: Value, zero_point: Value) -> Value:
    """Integers ``[direction, in, gates]`` as ``[direction, gates, in]``; a scale a direction, or one a row."""
    numbers = Scale(_upright(build, scale), _upright(build, zero_point))
    return build(ops.Transpose(), dequantized(build, weights, numbers), build.ints(0, 2, 1))


def _upright(build: Build, numbers: Value) -> Value:
    return build(ops.Unsqueeze(), numbers, build.ints(1, 2) if build.rank(numbers, "scale") == 1 else build.ints(1))
