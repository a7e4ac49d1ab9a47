"""The activation that com.microsoft operators carry inside them."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats
from modelbuild.frontends.onnx.handlers.activation import hard_sigmoid, leaky_relu
from modelbuild.graph import Op, Value

PLAIN: dict[str, Op] = {"Relu": ops.Relu(), "Sigmoid": ops.Sigmoid(), "Tanh": ops.Tanh(), "HardSwish": ops.HSwish()}


def activated(build: Build, x: Value, activation: str, parameters: Floats) -> Value:
    """``x`` after the activation of this name, if any; refuses one that is not known."""
    if not activation:
        return x
    if activation in PLAIN:
        return build(PLAIN[activation], x)
    match activation, (*parameters, 0.0, 0.0):
        case "LeakyRelu", (alpha, *_):
            return leaky_relu(build, x, alpha=alpha)
        case "Clip", (low, high, *_):
            return build(ops.Clamp(low, high), x)
        case "HardSigmoid", (alpha, beta, *_):
            return hard_sigmoid(build, x, alpha=alpha, beta=beta)
    raise build.refuse(f"its activation {activation} is not known")
