"""Quantised operators of both domains, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import Inputs, by_onnxruntime, computed, model, translated
from onnx import helper

from modelbuild import ops
from modelbuild.errors import UnsupportedModel
from modelbuild.graph import Graph
from modelbuild.tensor.dtype import Array, ElementType

MS = "com.microsoft"
RNG = np.random.default_rng(0)


def f(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def one(number: float) -> Array:
    return np.array(number, np.float32)


def u8(*numbers: int) -> Array:
    return np.array(numbers, np.uint8)


def zero(number: int) -> Array:
    return np.array(number, np.uint8)


def octets(*shape: int, dtype: Any = np.uint8) -> Array:
    return RNG.integers(0, 255, shape).astype(dtype)


def kinds(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph]


def check(
    operator: str, inputs: Inputs, constants: Inputs, folder: Path, *, off: int = 0, opset: int = 13, **more: Any
) -> Graph:
    """``off`` is how far integers may be off: halves may go either way after a product of real numbers."""
    proto = model(operator, inputs, constants, opset=opset, **more)
    graph = translated(proto, folder)
    given = {k: v for k, v in inputs.items() if v is not None}
    for have, want in zip(computed(graph, given), by_onnxruntime(proto, given), strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have.astype(np.float64), want.astype(np.float64), rtol=1e-5, atol=off or 1e-5)
    return graph


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_eight_bits_go_through_a_fake_quantize(dtype: Any, tmp_path: Path) -> None:
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    graph = check("QuantizeLinear", {"x": x}, {"s": one(0.0153), "z": np.array(7, dtype)}, tmp_path)
    assert kinds(graph)[-2:] == ["FakeQuantize", "Convert"]
    assert [n.op.levels for n in graph if isinstance(n.op, ops.FakeQuantize)] == [256]


def test_sixteen_bits_are_plain_arithmetic(tmp_path: Path) -> None:
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    graph = check("QuantizeLinear", {"x": x}, {"s": one(1e-4), "z": np.array(700, np.uint16)}, tmp_path, opset=21)
    assert "FakeQuantize" not in kinds(graph)


def test_a_scale_of_the_run_is_plain_arithmetic(tmp_path: Path) -> None:
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    graph = check("QuantizeLinear", {"x": x, "s": one(0.0153)}, {"z": zero(7)}, tmp_path)
    assert "FakeQuantize" not in kinds(graph)


def test_without_a_zero_point_the_type_is_u8(tmp_path: Path) -> None:
    graph = check("QuantizeLinear", {"x": f(-1, 0, 1)}, {"s": one(0.1)}, tmp_path)
    assert graph.outputs[0].fact.dtype is ElementType.u8


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scales_along_an_axis(axis: int, tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 3, 3)).astype(np.float32)
    scales, zeros = f(0.1, 0.02, 0.3), u8(0, 10, 255)
    check("QuantizeLinear", {"x": x}, {"s": scales, "z": zeros}, tmp_path, axis=axis)
    check("DequantizeLinear", {"x": octets(3, 3, 3)}, {"s": scales, "z": zeros}, tmp_path, axis=axis)


@pytest.mark.parametrize("block", [2, 3])
def test_scales_of_blocks(block: int, tmp_path: Path) -> None:
    """The last block need not be whole."""
    numbers = {"s": np.abs(RNG.standard_normal((2, -(-4 // block)))).astype(np.float32) + 0.1}
    x = RNG.standard_normal((2, 4)).astype(np.float32)
    more = {"opset": 21, "axis": 1, "block_size": block}
    check("QuantizeLinear", {"x": x}, numbers, tmp_path, **more)
    check("DequantizeLinear", {"x": octets(2, 4)}, numbers, tmp_path, **more)


def test_a_zero_point_of_nothing_is_not_subtracted(tmp_path: Path) -> None:
    graph = check("DequantizeLinear", {"x": octets(4)}, {"s": one(0.5), "z": zero(0)}, tmp_path)
    assert kinds(graph) == ["Parameter", "Convert", "Const", "Multiply"]


def test_biases_are_dequantised(tmp_path: Path) -> None:
    check("DequantizeLinear", {"x": np.array([-70000, 5], np.int32)}, {"s": one(0.001)}, tmp_path)


def test_the_scale_is_found_in_the_data(tmp_path: Path) -> None:
    x = RNG.uniform(-2, 5, (3, 4)).astype(np.float32)
    check("DynamicQuantizeLinear", {"x": x}, {}, tmp_path, outputs=3)
    check("DynamicQuantizeLinear", {"x": np.abs(x)}, {}, tmp_path, outputs=3)
    check("DynamicQuantizeLinear", {"x": x * 0}, {}, tmp_path, outputs=3)


QUANT = {"xs": one(0.02), "xz": zero(120)}
RESULT = {"ys": one(0.05), "yz": zero(100)}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("domain", ["", MS])
def test_convolution(domain: str, per_channel: bool, tmp_path: Path) -> None:
    scales = f(0.01, 0.02, 0.03, 0.04) if per_channel else one(0.01)
    zeros = np.zeros(4, np.int8) if per_channel else np.array(0, np.int8)
    constants = {
        **QUANT, "w": RNG.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8), "ws": scales, "wz": zeros, **RESULT,
        "b": np.array([100, -200, 300, 0], np.int32),
    }  # fmt: skip
    if domain:
        check("QLinearConv", {"x": octets(1, 8, 8, 3)}, constants, tmp_path, domain=domain, channels_last=1, off=1)
    check("QLinearConv", {"x": octets(1, 3, 8, 8)}, constants, tmp_path, domain=domain, off=1, pads=[1, 1, 1, 1])


def test_product_of_matrices(tmp_path: Path) -> None:
    constants = {**QUANT, "b": octets(4, 5), "bs": one(0.01), "bz": zero(3), **RESULT}
    check("QLinearMatMul", {"a": octets(3, 4)}, constants, tmp_path, off=1)


@pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])
def test_two_operands(operator: str, tmp_path: Path) -> None:
    constants = {**QUANT, "b": octets(3, 4), "bs": one(0.01), "bz": zero(3), **RESULT}
    check(operator, {"a": octets(2, 3, 4)}, constants, tmp_path, domain=MS, off=1)


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("QLinearSigmoid", {}),
        ("QLinearLeakyRelu", {"alpha": 0.1}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("QLinearGlobalAveragePool", {}),
    ],
)
def test_one_operand(operator: str, more: dict[str, Any], tmp_path: Path) -> None:
    check(operator, {"x": octets(1, 3, 4, 4)}, {**QUANT, **RESULT}, tmp_path, domain=MS, off=1, **more)


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_of_either_meaning(opset: int, tmp_path: Path) -> None:
    """``opset`` is an attribute here."""
    x = {"x": octets(1, 3, 4, 4)}
    proto = model("QLinearSoftmax", x, {**QUANT, "ys": one(1 / 256), "yz": zero(0)}, opset=13, domain=MS, axis=1)
    proto.graph.node[0].attribute.append(helper.make_attribute("opset", opset))
    (have,), (want,) = computed(translated(proto, tmp_path), x), by_onnxruntime(proto, x)
    np.testing.assert_allclose(have.astype(float), want.astype(float), atol=1)


def test_the_mean_of_integers_is_that_of_what_they_stand_for(tmp_path: Path) -> None:
    x = {"x": u8(120, 130, 140, 150).reshape(2, 2)}
    proto = model("QLinearReduceMean", x, {**QUANT, **RESULT}, opset=13, domain=MS, axes=[1], keepdims=0)
    (have,) = computed(translated(proto, tmp_path), x)
    np.testing.assert_array_equal(have, [100 + 0.1 / 0.05, 100 + 0.5 / 0.05])


def test_parts_with_their_own_scales(tmp_path: Path) -> None:
    parts = {"a": octets(2, 3), "as": one(0.1), "az": zero(9), "b": octets(2, 4), "bs": one(0.2), "bz": zero(0)}
    proto = model("QLinearConcat", {}, {**RESULT, **parts}, opset=13, domain=MS, axis=1)
    (have,), (want,) = computed(translated(proto, tmp_path), {}), by_onnxruntime(proto, {})
    np.testing.assert_array_equal(have, want)


def test_choice_of_two(tmp_path: Path) -> None:
    constants = {"x": octets(4), **QUANT, "y": octets(4), "s": one(0.03), "z": zero(50), **RESULT}
    check("QLinearWhere", {"c": np.array([True, False, True, False])}, constants, tmp_path, domain=MS, off=1)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("turned", [0, 1])
def test_product_with_a_bias(turned: int, real: bool, tmp_path: Path) -> None:
    b = RNG.integers(-127, 127, (5, 4) if turned else (4, 5)).astype(np.int8)
    constants: dict[str, Array | None] = {
        **QUANT, "b": b, "bs": f(0.01, 0.02, 0.03, 0.04, 0.05), "bz": np.zeros(5, np.int8),
        "c": np.arange(5, dtype=np.int32), **({} if real else RESULT),
    }  # fmt: skip
    check("QGemm", {"a": octets(3, 4)}, constants, tmp_path, domain=MS, off=0 if real else 1, transB=turned, alpha=0.5)


def test_data_quantised_on_the_way(tmp_path: Path) -> None:
    a = RNG.standard_normal((3, 4)).astype(np.float32)
    constants = {"b": octets(4, 5), "bs": one(0.01), "bz": zero(3), "bias": RNG.standard_normal(5).astype(np.float32)}
    check("DynamicQuantizeMatMul", {"a": a}, constants, tmp_path, domain=MS)


def test_integers_to_real_numbers(tmp_path: Path) -> None:
    constants = {"b": octets(4, 5), "as": one(0.5), "bs": f(1, 2, 3, 4, 5), "az": zero(9), "bz": u8(1, 2, 3, 4, 5)}
    check("MatMulIntegerToFloat", {"a": octets(3, 4)}, constants, tmp_path, domain=MS)


@pytest.mark.parametrize("k", [32, 40])
@pytest.mark.parametrize("zeros", [False, True])
def test_weights_of_four_bits_stay_packed(zeros: bool, k: int, tmp_path: Path) -> None:
    n, block = 5, 16
    blocks = -(-k // block)
    constants: dict[str, Array | None] = {
        "b": octets(n, blocks, block // 2), "s": np.abs(RNG.standard_normal(n * blocks)).astype(np.float32),
        "z": octets(n * -(-blocks // 2)) if zeros else None,
    }  # fmt: skip
    a = RNG.standard_normal((3, k)).astype(np.float32)
    proto = model("MatMulNBits", {"a": a}, constants, opset=13, domain=MS, K=k, N=n, bits=4, block_size=block)
    graph = translated(proto, tmp_path)
    (have,), (want,) = computed(graph, {"a": a}), by_onnxruntime(proto, {"a": a})
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-3)
    assert any(n.outputs[0].fact.dtype is ElementType.u4 for n in graph)


def test_blocks_of_different_sizes_are_refused(tmp_path: Path) -> None:
    constants = {"b": octets(5, 1, 8), "s": f(*range(5)), "z": None, "g": np.ones(16, np.int32)}
    proto = model(
        "MatMulNBits", {"a": np.zeros((1, 16), np.float32)}, constants, opset=13, domain=MS, K=16, N=5, block_size=16
    )
    with pytest.raises(UnsupportedModel, match="16 columns each"):
        translated(proto, tmp_path)
