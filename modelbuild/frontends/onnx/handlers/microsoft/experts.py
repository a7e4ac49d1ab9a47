"""Mixtures of experts, as onnxruntime writes them.

Every expert computes every token, and the weights of those that are not chosen are zero: shapes stay what they are,
and the runtime has products for batches of matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT, swish
from modelbuild.frontends.onnx.handlers.microsoft.packed_weights import PACKED, Rows, unpacked
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number, shape_of
from modelbuild.graph import Op, Value
from modelbuild.ops import GeluForm
from modelbuild.tensor.dtype import ElementType

PLAIN: dict[str, Op] = {"relu": ops.Relu(), "gelu": ops.Gelu(GeluForm.TANH), "silu": ops.Swish()}


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights ``[expert, out, in]`` and a bias ``[expert, out]``."""

    weights: Value
    bias: Value | None

    def __call__(self, build: Build, x: Value) -> Value:
        """``[expert or 1, token, in]``  ->  ``[expert, token, out]``"""
        y = build(ops.MatMul(transpose_b=True), x, self.weights)
        return y if self.bias is None else build(ops.Add(), y, build(ops.Unsqueeze(), self.bias, build.ints(1)))


@dataclass(frozen=True, slots=True)
class Gate:
    """How an expert's hidden numbers are made: an activation, or two layers of which one lets the other through."""

    activation: str
    fusion: int
    alpha: float
    beta: float
    limit: float | None

    def __call__(self, build: Build, x: Value, fc1: Layer, fc3: Layer | None) -> Value:
        hidden = fc1(build, x)
        if self.activation == "swiglu":
            return self._gated(build, *self._halves(build, x, hidden, fc3))
        if self.activation != "identity" and self.activation not in PLAIN:
            raise build.refuse(f"its activation {self.activation} is not known")
        y = hidden if self.activation == "identity" else build(PLAIN[self.activation], hidden)
        return y if fc3 is None else build(ops.Multiply(), y, fc3(build, x))

    def _halves(self, build: Build, x: Value, hidden: Value, fc3: Layer | None) -> tuple[Value, Value]:
        """The gate and what it lets through: layers of their own, neighbours, or halves of one layer."""
        match self.fusion, fc3:
            case 0, Layer():
                return hidden, fc3(build, x)
            case 1, None:
                pairs = build(ops.Reshape(special_zero=True), hidden, build.ints(0, 0, -1, 2))
                gate, linear = build.node(ops.Split(2), pairs, build.scalar(-1)).outputs
                last = build.ints(-1)
                return build(ops.Squeeze(), gate, last), build(ops.Squeeze(), linear, last)
            case 2, None:
                gate, linear = build.node(ops.Split(2), hidden, build.scalar(-1)).outputs
                return gate, linear
        raise build.refuse(f"swiglu_fusion is {self.fusion}, and there is {'no' if fc3 is None else 'a'} third layer")

    def _gated(self, build: Build, gate: Value, linear: Value) -> Value:
        if self.limit is not None and math.isfinite(self.limit):
            gate = build(ops.Minimum(), gate, number(build, self.limit, gate))
            linear = build(ops.Clamp(-self.limit, self.limit), linear)
        if self.beta:
            linear = build(ops.Add(), linear, number(build, self.beta, linear))
        return build(ops.Multiply(), swish(build, gate, alpha=self.alpha), linear)


@dataclass(frozen=True, slots=True)
class Router:
    """Which experts a token goes to, and with which weights."""

    k: int
    normalized: bool

    def __call__(self, build: Build, logits: Value, given: Value | None) -> Value:
        """The weight of each expert, ``[token, expert]``, zero for those that are not among the best."""
        best = build.node(ops.TopK(1, "max", "value", ElementType.i64), logits, build.scalar(self.k))
        values, places = best.outputs
        if given is not None:
            weights = build(ops.GatherElements(1), given, places)
            if self.normalized:
                weights = build(ops.Divide(), weights, build(ops.ReduceSum(keep_dims=True), weights, build.ints(1)))
        elif self.normalized:
            weights = build(ops.Softmax(1), values)
        else:
            weights = build(ops.GatherElements(1), build(ops.Softmax(1), logits), places)
        none = build(ops.Broadcast(), number(build, 0, weights), shape_of(build, logits))
        return build(ops.ScatterElementsUpdate(), none, places, weights, build.scalar(1))


def mixed(build: Build, x: Value, weights: Value, gate: Gate, layers: tuple[Layer, Layer, Layer | None]) -> Value:
    """The sum of what the experts make of each token, by their weights ``[token, expert]``."""
    fc1, fc2, fc3 = layers
    size = known_extent(build, x, build.rank(x) - 1, "size of a token")
    tokens = build(ops.Reshape(special_zero=False), x, build.ints(1, -1, size))
    made = fc2(build, gate(build, tokens, fc1, fc3))
    shares = build(ops.Unsqueeze(), build(ops.Transpose(), weights, build.ints(1, 0)), build.ints(2))
    total = build(ops.ReduceSum(keep_dims=False), build(ops.Multiply(), made, shares), build.ints(0))
    return build(ops.Reshape(special_zero=False), total, shape_of(build, x)) if x.fact.rank != 2 else total


@onnx.op("MoE", domain=MICROSOFT)
def moe(
    build: Build, x: Value, router_probs: Value, fc1: Value, fc1_bias: Value | None, fc2: Value,
    fc2_bias: Value | None = None, fc3: Value | None = None, fc3_bias: Value | None = None, *,
    activation_alpha: float = 1.0, activation_beta: float = 0.0, activation_type: str = "relu", k: int = 1,
    normalize_routing_weights: int = 0, swiglu_fusion: int = 0, swiglu_limit: float | None = None,
    swiglu_limit_after_activation: int = 0, use_sparse_mixer: int = 0,
) -> Value:  # fmt: skip
    if use_sparse_mixer or swiglu_limit_after_activation:
        raise build.refuse("its mixer is sparse, or its gate is limited after the activation")
    weights = Router(k, bool(normalize_routing_weights))(build, router_probs, None)
    gate = Gate(activation_type, swiglu_fusion, activation_alpha, activation_beta, swiglu_limit)
    third = None if fc3 is None else Layer(fc3, fc3_bias)
    return mixed(build, x, weights, gate, (Layer(fc1, fc1_bias), Layer(fc2, fc2_bias), third))


@onnx.op("QMoE", domain=MICROSOFT)
def qmoe(
    build: Build, x: Value, router_probs: Value, fc1: Value, fc1_scales: Value | None, fc1_bias: Value | None,
    fc2: Value, fc2_scales: Value | None = None, fc2_bias: Value | None = None, fc3: Value | None = None,
    fc3_scales: Value | None = None, fc3_bias: Value | None = None, fc1_zero_points: Value | None = None,
    fc2_zero_points: Value | None = None, fc3_zero_points: Value | None = None, router_weights: Value | None = None,
    fc1_global_scale: Value | None = None, fc2_global_scale: Value | None = None, fc1_act_scale: Value | None = None,
    fc2_act_scale: Value | None = None, fc1_act_block_scale: Value | None = None,
    fc2_act_block_scale: Value | None = None, *,
    accuracy_level: int = 0, activation_alpha: float = 1.0, activation_beta: float = 0.0,
    activation_type: str = "relu", block_size: int = 0, expert_weight_bits: int = 4,
    fc1_expert_weight_bits: int | None = None, fc2_expert_weight_bits: int | None = None,
    fc3_expert_weight_bits: int | None = None, k: int = 1, normalize_routing_weights: int = 0,
    quant_type: str = "int", swiglu_fusion: int = 0, swiglu_limit: float | None = None,
    swiglu_limit_after_activation: int = 0, use_sparse_mixer: int = 0, weights_prepacked: int = -1,
) -> Value:  # fmt: skip
    """:func:`moe` with rows of packed integers; a row is one block unless a size of blocks is given."""
    del accuracy_level, weights_prepacked  # the layout is onnxruntime's own only where CUDA computes
    if use_sparse_mixer or swiglu_limit_after_activation:
        raise build.refuse("its mixer is sparse, or its gate is limited after the activation")
    scaled = (
        fc1_global_scale,
        fc2_global_scale,
        fc1_act_scale,
        fc2_act_scale,
        fc1_act_block_scale,
        fc2_act_block_scale,
    )
    if quant_type != "int" or any(v is not None for v in scaled):
        raise build.refuse(f"its weights are {quant_type}, or scaled as a whole; only blocks of integers are taken")

    def layer(w: Value, s: Value | None, z: Value | None, b: Value | None, bits: int | None) -> Layer:
        return Layer(_real(build, w, s, z, bits or expert_weight_bits, block_size, x.fact.dtype), b)

    weights = Router(k, bool(normalize_routing_weights))(build, router_probs, router_weights)
    gate = Gate(activation_type, swiglu_fusion, activation_alpha, activation_beta, swiglu_limit)
    layers = (
        layer(fc1, fc1_scales, fc1_zero_points, fc1_bias, fc1_expert_weight_bits),
        layer(fc2, fc2_scales, fc2_zero_points, fc2_bias, fc2_expert_weight_bits),
        None if fc3 is None else layer(fc3, fc3_scales, fc3_zero_points, fc3_bias, fc3_expert_weight_bits),
    )
    return mixed(build, x, converted(build, weights, x.fact.dtype), gate, layers)


def _real(
    build: Build, weights: Value, scales: Value | None, zero_points: Value | None, bits: int, block: int,
    real: ElementType,
) -> Value:  # fmt: skip
    """``[expert, out, in]`` from ``[expert, out, octets]``; without blocks the zero points are packed along ``out``."""
    shape = weights.fact.static_shape
    if scales is None or shape is None or len(shape) != 3 or bits not in PACKED:
        raise build.refuse(f"its weights {weights.fact} have {bits} bits and {'some' if scales else 'no'} scales")
    experts, out, octets = shape
    size = octets * 8 // bits
    if block <= 0:
        zero = Rows(bits, (experts, out)).zero(build, zero_points, real)
        return _of_rows(build, weights, scales, zero, bits, (experts, out, size), real)
    if size % block:
        raise ValueError(f"rows of {size} numbers do not make blocks of {block}")
    rows = Rows(bits, (experts, out, size // block), block)
    return rows.real(build, unpacked(build, weights, bits, (*rows.shape, block)), scales, zero_points, real)


def _of_rows(
    build: Build, weights: Value, scales: Value, zero: Value, bits: int, shape: Ints, real: ElementType
) -> Value:
    zero = zero if zero.fact.rank == 0 else build(ops.Unsqueeze(), zero, build.ints(2))
    made = converted(build, build.const(unpacked(build, weights, bits, shape)), real)
    factors = converted(build, build(ops.Reshape(), scales, build.ints(*shape[:2], 1)), real)
    return build(ops.Multiply(), build(ops.Subtract(), made, zero), factors)
