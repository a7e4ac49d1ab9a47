"""What ``com.microsoft`` fuses around gates: numbers that let others through."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT, along_the_rest, swish
from modelbuild.frontends.onnx.handlers.normalization import simplified_layer_normalization
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar, converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("GatedAdd", domain=MICROSOFT)
def gated_add(build: Build, x: Value, y: Value, gate: Value, gate_weight: Value | None = None) -> Value:
    """The gate is one number a row, or what a projection makes of its numbers."""
    if gate_weight is not None:
        gate = build(ops.Sigmoid(), build(ops.MatMul(), gate, gate_weight))
    return build(ops.Add(), x, build(ops.Multiply(), y, gate))


@onnx.op("ScaledSiLU", domain=MICROSOFT)
def scaled_silu(build: Build, x: Value, scale: Value | None = None, *, alpha: float = 1.0) -> Value:
    factor = number(build, alpha, x) if scale is None else converted(build, as_scalar(build, scale), x.fact.dtype)
    return build(ops.Swish(), build(ops.Multiply(), x, factor))


@onnx.op("SwiGLU", domain=MICROSOFT)
def swiglu(
    build: Build, gate: Value, up: Value | None = None, *,
    activation_alpha: float = 1.0, activation_beta: float = 0.0, limit: float = 0.0, round_activation: int = 0,
) -> Value:  # fmt: skip
    """Gate and what it lets through may be halves of one; a limit of zero is none."""
    del round_activation  # whether the activation is rounded twice is for types of less than single precision
    if up is None:
        gate, up = build.node(ops.Split(2), gate, build.scalar(-1)).outputs
    if limit > 0:
        gate = build(ops.Minimum(), gate, number(build, limit, gate))
        up = build(ops.Clamp(-limit, limit), up)
    if activation_beta:
        up = build(ops.Add(), up, number(build, activation_beta, up))
    return build(ops.Multiply(), swish(build, gate, alpha=activation_alpha), up)


@onnx.op("RouterGateUpProj", domain=MICROSOFT)
def router_gate_up_proj(
    build: Build, x: Value, w: Value, *,
    activation: str = "swiglu", activation_alpha: float = 1.0, activation_beta: float = 0.0, limit: float = 0.0,
    router_size: int,
) -> tuple[Value, Value]:  # fmt: skip
    """The scores of experts, and what the one that all tokens share makes, of one product."""
    if activation != "swiglu":
        raise build.refuse(f"its activation {activation} is not known")
    rest = known_extent(build, w, 1, "number of columns") - router_size
    parts = build.ints(router_size, rest)
    router, gates = build.node(ops.VariadicSplit(), build(ops.MatMul(), x, w), build.scalar(-1), parts).outputs
    shared = swiglu(build, gates, activation_alpha=activation_alpha, activation_beta=activation_beta, limit=limit)
    return router, shared


@onnx.op("GatedRMSNorm", domain=MICROSOFT)
def gated_rms_norm(
    build: Build, x: Value, scale: Value, gate: Value, *, activation: str = "silu", epsilon: float = 1e-5
) -> Value:
    """Each group of as many elements as there are scales is normalised."""
    if activation not in {"silu", "swish", "sigmoid"}:
        raise build.refuse(f"its activation {activation} is not known")
    size = known_extent(build, scale, 0, "number of scales")
    real, weight, wide = (converted(build, v, ElementType.f32) for v in (x, scale, gate))
    groups = build(ops.Reshape(special_zero=False), real, build.ints(-1, size))
    flat = simplified_layer_normalization(build, groups, weight, epsilon=epsilon)[0]
    y = build(ops.Reshape(special_zero=False), flat, shape_of(build, x))
    opened = build(ops.Sigmoid() if activation == "sigmoid" else ops.Swish(), wide)
    return converted(build, build(ops.Multiply(), y, opened), x.fact.dtype)


@onnx.op("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(build: Build, data: Value, bias: Value, *, axis: int = 1, is_inner_broadcast: int) -> Value:
    """The shape of the bias says which axes it is the same along; along ``axis`` and the following ones it is not."""
    del is_inner_broadcast
    total = build(ops.Add(), data, bias)
    return along_the_rest(build, total, axis, lambda y, at: build(ops.Softmax(at), y))
