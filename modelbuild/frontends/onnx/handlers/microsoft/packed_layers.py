"""Layers of a decoder with packed weights in one operator: a normalisation, and what is projected from it."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.microsoft.packed_weights import matmul_n_bits
from modelbuild.frontends.onnx.handlers.normalization import (
    simplified_layer_normalization,
    skip_simplified_layer_normalization,
)
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Op, Value
from modelbuild.ops import GeluForm

ACTIVATIONS: dict[str, Op] = {"silu": ops.Swish(), "gelu": ops.Gelu(GeluForm.ERF), "relu": ops.Relu()}


@onnx.op("MatMulNBitsQkv", domain=MICROSOFT)
def matmul_n_bits_qkv(
    build: Build, a: Value, skip: Value | None, norm_scale: Value, q_b: Value, q_scales: Value, q_bias: Value | None,
    k_b: Value, k_scales: Value, k_bias: Value | None, v_b: Value, v_scales: Value, v_bias: Value | None = None, *,
    K: int, Nkv: int, Nq: int, accuracy_level: int = 0, bits: int = 4, block_size: int,  # noqa: N803
    epsilon: float = 1e-6,
) -> tuple[Value | None, ...]:  # fmt: skip
    x, total = _normalized(build, a, skip, norm_scale, epsilon)
    layers = ((Nq, q_b, q_scales, q_bias), (Nkv, k_b, k_scales, k_bias), (Nkv, v_b, v_scales, v_bias))
    made = (
        matmul_n_bits(
            build, x, weights, scales, bias=bias, K=K, N=n, accuracy_level=accuracy_level, bits=bits,
            block_size=block_size,
        )
        for n, weights, scales, bias in layers
    )  # fmt: skip
    return *made, total


@onnx.op("MatMulNBitsMlp", domain=MICROSOFT)
def matmul_n_bits_mlp(
    build: Build, a: Value, skip: Value | None, norm_scale: Value | None, gate_b: Value, gate_scales: Value,
    gate_bias: Value | None, up_b: Value, up_scales: Value, up_bias: Value | None = None, *,
    K: int, N: int, accuracy_level: int = 0, activation: str, bits: int = 4, block_size: int,  # noqa: N803
    epsilon: float = 1e-5,
) -> tuple[Value | None, ...]:  # fmt: skip
    """One layer lets the other through."""
    if activation not in ACTIVATIONS:
        raise build.refuse(f"its activation {activation} is not known")
    x, total = (a, None) if norm_scale is None else _normalized(build, a, skip, norm_scale, epsilon)
    gate, up = (
        matmul_n_bits(
            build, x, weights, scales, bias=bias, K=K, N=N, accuracy_level=accuracy_level, bits=bits,
            block_size=block_size,
        )
        for weights, scales, bias in ((gate_b, gate_scales, gate_bias), (up_b, up_scales, up_bias))
    )  # fmt: skip
    return build(ops.Multiply(), build(ACTIVATIONS[activation], gate), up), total


@onnx.op("MatMulNBitsQLoRA", domain=MICROSOFT)
def matmul_n_bits_qlora(
    build: Build, x: Value, w: Value, scales: Value, lora_a: Value, lora_a_scales: Value, lora_b: Value,
    lora_b_scales: Value, *,
    K: int, N: int, accuracy_level: int = 0, bits: int = 4, block_size: int = 32,  # noqa: N803
    lora_bits: int = 8, lora_block_size: int = 32,
) -> Value:  # fmt: skip
    """A layer and its adapter, two layers with few numbers between; an empty one adds nothing."""

    def projected(given: Value, weights: Value, factors: Value, columns: int, rows: int) -> Value:
        return matmul_n_bits(
            build, given, weights, factors, K=columns, N=rows, accuracy_level=accuracy_level, bits=lora_bits,
            block_size=lora_block_size,
        )  # fmt: skip

    y = matmul_n_bits(build, x, w, scales, K=K, N=N, accuracy_level=accuracy_level, bits=bits, block_size=block_size)
    if 0 in {*(lora_a.fact.shape or ()), *(lora_b.fact.shape or ())}:
        return y
    rank = known_extent(build, lora_a, 0, "rank of the adapter")
    down = projected(x, lora_a, lora_a_scales, K, rank)
    return build(ops.Add(), y, projected(down, lora_b, lora_b_scales, rank, N))


def _normalized(build: Build, a: Value, skip: Value | None, scale: Value, epsilon: float) -> tuple[Value, Value | None]:
    """What is projected, and the sum that it was made of, if it was one."""
    if skip is None:
        return simplified_layer_normalization(build, a, scale, epsilon=epsilon)[0], None
    y, _, _, total = skip_simplified_layer_normalization(build, a, skip, scale, epsilon=epsilon)
    return y, total
