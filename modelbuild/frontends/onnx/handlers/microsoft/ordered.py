"""Operators of ``com.microsoft`` on eight-bit matrices whose elements are stored in a named order."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import Mask, fused, join_heads, split_heads
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.microsoft.attention import FILTER, causal_mask, padding
from modelbuild.frontends.onnx.handlers.normalization import normalized
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized, quantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.graph import Value
from modelbuild.ops import GeluForm
from modelbuild.tensor.dtype import ElementType

COLUMNS, ROWS = 0, 1
"""The orders that are no tiling for a certain GPU: column by column, row by row."""


def _row_by_row(build: Build, x: Value, order: int) -> Value:
    """The matrix whose elements lie in ``x`` in this order; its shape is that of ``x``."""
    if order == ROWS:
        return x
    if order != COLUMNS or build.rank(x) != 2:
        raise build.refuse(f"its matrix {x.fact} is in order {order}; only rows (1) and columns (0) are taken")
    turned = build(ops.Gather(), build(ops.ShapeOf(), x), build.ints(1, 0), build.scalar(0))
    return build(ops.Transpose(), build(ops.Reshape(special_zero=False), x, turned), build.ints(1, 0))


def _expect_rows(build: Build, *orders: int) -> None:
    if any(order != ROWS for order in orders):
        raise build.refuse(f"its data are in orders {orders}; only rows (1) are taken")


@onnx.op("QuantizeWithOrder", domain=MICROSOFT)
def quantize_with_order(build: Build, x: Value, scale: Value, *, order_input: int, order_output: int) -> Value:
    _expect_rows(build, order_input, order_output)
    return quantized(build, x, Scale(converted(build, scale, ElementType.f32)), ElementType.i8)


@onnx.op("DequantizeWithOrder", domain=MICROSOFT)
def dequantize_with_order(
    build: Build, x: Value, scale: Value, *, order_input: int, order_output: int, to: int
) -> Value:
    real = {1: ElementType.f32, 10: ElementType.f16}.get(to)
    if real is None:
        raise ValueError(f"to is {to}, neither 1 (float) nor 10 (float16)")
    _expect_rows(build, order_output)
    return dequantized(build, _row_by_row(build, x, order_input), Scale(scale), real)


@onnx.op("QOrderedGelu", domain=MICROSOFT)
def q_ordered_gelu(
    build: Build, x: Value, scale_x: Value, scale_y: Value, *, order_X: int = ROWS, order_Y: int = ROWS  # noqa: N803
) -> Value:  # fmt: skip
    """Element by element, so any order is as good as any other."""
    if order_X != order_Y:
        raise build.refuse(f"its data change from order {order_X} to {order_Y}")
    y = build(ops.Gelu(GeluForm.ERF), dequantized(build, x, Scale(scale_x)))
    return quantized(build, y, Scale(scale_y), ElementType.i8)


@onnx.op("QOrderedLayerNormalization", domain=MICROSOFT)
def q_ordered_layer_normalization(
    build: Build, x: Value, scale_x: Value, scale: Value, b: Value | None, scale_y: Value, *,
    axis: int = -1, epsilon: float = 1e-5, order_X: int = ROWS, order_Y: int = ROWS,  # noqa: N803
) -> Value:  # fmt: skip
    _expect_rows(build, order_X, order_Y)
    weight = converted(build, scale, ElementType.f32)
    bias = None if b is None else converted(build, b, ElementType.f32)
    real = dequantized(build, x, Scale(scale_x))
    y = normalized(build, real, weight, bias, axis=axis, epsilon=epsilon)
    return quantized(build, y, Scale(scale_y), ElementType.i8)


@onnx.op("QOrderedMatMul", domain=MICROSOFT)
def q_ordered_matmul(
    build: Build, a: Value, scale_a: Value, b: Value, scale_b: Value, scale_y: Value, bias: Value | None = None,
    c: Value | None = None, scale_c: Value | None = None, *,
    order_A: int, order_B: int, order_Y: int,  # noqa: N803
) -> Value:  # fmt: skip
    """The bias is real; ``c`` is an integer as ``a`` is."""
    _expect_rows(build, order_A, order_Y)
    right = dequantized(build, _row_by_row(build, b, order_B), Scale(scale_b, axis=1))
    y = build(ops.MatMul(), dequantized(build, a, Scale(scale_a)), right)
    y = y if bias is None else build(ops.Add(), y, bias)
    if c is not None and scale_c is not None:
        y = build(ops.Add(), y, dequantized(build, c, Scale(scale_c)))
    return quantized(build, y, Scale(scale_y), ElementType.i8)


@onnx.op("QOrderedAttention", domain=MICROSOFT)
def q_ordered_attention(
    build: Build, x: Value, scale_x: Value, scale_q: Value, scale_k: Value, scale_v: Value, q_weight: Value,
    k_weight: Value, v_weight: Value, scale_q_weight: Value, scale_k_weight: Value, scale_v_weight: Value,
    q_bias: Value, k_bias: Value, v_bias: Value, scale_scores: Value | None, scale_softmax: Value | None,
    scale_y: Value, mask_index: Value | None = None, past: Value | None = None, attention_bias: Value | None = None, *,
    num_heads: int, order_input: int, order_output: int, order_weight: int, qkv_hidden_sizes: Ints = (),
    unidirectional: int = 0,
) -> Value:  # fmt: skip
    """Queries, keys, values and the result are rounded to eight bits; scores are left as precise as they are."""
    del scale_scores, scale_softmax
    _expect_rows(build, order_input, order_output)
    if past is not None or attention_bias is not None or qkv_hidden_sizes:
        raise build.refuse("it has a past, a bias of its own or values of another size")
    real = dequantized(build, x, Scale(scale_x))

    def projected(weight: Value, factor: Value, bias: Value, rounded: Value) -> Value:
        matrix = dequantized(build, _row_by_row(build, weight, order_weight), Scale(factor, axis=1))
        y = build(ops.Add(), build(ops.MatMul(), real, matrix), bias)
        integers = quantized(build, y, Scale(rounded), ElementType.i8)
        return split_heads(build, dequantized(build, integers, Scale(rounded)), num_heads)

    q = projected(q_weight, scale_q_weight, q_bias, scale_q)
    k = projected(k_weight, scale_k_weight, k_bias, scale_k)
    v = projected(v_weight, scale_v_weight, v_bias, scale_v)
    mask = Mask()
    if mask_index is not None:
        mask = mask.biased(build, padding(build, mask_index, q, k, FILTER))
    if unidirectional:
        mask = causal_mask(build, mask, q, k, None)
    return quantized(build, join_heads(build, fused(build, q, k, v, mask)), Scale(scale_y), ElementType.i8)
