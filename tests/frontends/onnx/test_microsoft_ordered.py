"""Eight-bit matrices in a named order. onnxruntime's CPU has no kernels for them: numpy computes what is meant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, compare

from modelbuild.errors import UnsupportedModel
from modelbuild.tensor.dtype import Array

RNG = np.random.default_rng(17)


def integers(*shape: int) -> Array:
    return RNG.integers(-127, 128, shape).astype(np.int8)


def one(number: float) -> Array:
    return np.array(number, np.float32)


def rounded(x: Array, scale: float | Array) -> Array:
    return np.clip(np.round(x / np.float32(scale)), -128, 127).astype(np.int8)


def use(operator: str, given: Mapping[str, Array | None], *, loose: float = 1e-5, **attributes: Any) -> Use:
    fixed = [n for n, a in given.items() if a is not None and n not in "xac"]
    return Use(operator, MICROSOFT, given, attributes, fixed=fixed, loose=loose)


def test_numbers_are_quantised_and_back(tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    quantize = use("QuantizeWithOrder", {"x": x, "s": one(0.03)}, order_input=1, order_output=1)
    compare(quantize, [rounded(x, 0.03)], tmp_path)
    q = integers(3, 4)
    back = use("DequantizeWithOrder", {"x": q, "s": one(0.03)}, order_input=1, order_output=1, to=1)
    compare(back, [q * np.float32(0.03)], tmp_path)


def test_gelu(tmp_path: Path) -> None:
    x = integers(2, 5, 8)
    real = x * np.float32(0.02)
    wanted = rounded(real * (1 + np.vectorize(math.erf)(real / math.sqrt(2))) / 2, 0.015)
    compare(use("QOrderedGelu", {"x": x, "sx": one(0.02), "sy": one(0.015)}), [wanted], tmp_path)


def test_layers_are_normalised(tmp_path: Path) -> None:
    x, gamma, beta = integers(2, 5, 8), RNG.uniform(1, 2, 8).astype(np.float32), RNG.uniform(0, 1, 8).astype(np.float32)
    real = x * np.float32(0.02)
    flat = (real - real.mean(-1, keepdims=True)) / np.sqrt(real.var(-1, keepdims=True) + 1e-5)
    given = {"x": x, "sx": one(0.02), "gamma": gamma, "beta": beta, "sy": one(0.05)}
    compare(use("QOrderedLayerNormalization", given), [rounded(flat * gamma + beta, 0.05)], tmp_path)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("channels", [False, True])
def test_product(tmp_path: Path, order: int, *, channels: bool) -> None:
    a, b, c = integers(2, 3, 8), integers(8, 6), integers(1, 3, 6)
    sb = RNG.uniform(0.01, 0.02, 6).astype(np.float32) if channels else one(0.015)
    bias = RNG.standard_normal(6).astype(np.float32)
    real = a.astype(np.float32) * np.float32(0.02) @ (b * sb) + bias + c * np.float32(0.01)
    stored = np.ascontiguousarray(b.T).reshape(8, 6) if order == 0 else b
    given = {
        "a": a, "sa": one(0.02), "b": stored, "sb": sb, "sy": one(0.1), "bias": bias, "c": c, "sc": one(0.01),
    }  # fmt: skip
    compare(use("QOrderedMatMul", given, order_A=1, order_B=order, order_Y=1), [rounded(real, 0.1)], tmp_path)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention(tmp_path: Path, causal: int) -> None:
    """A number at the border may be rounded to its other neighbour."""
    batch, length, heads, size, inner = 2, 3, 2, 4, 6
    x, weights = integers(batch, length, inner), [integers(inner, heads * size) for _ in range(3)]
    biases = [RNG.standard_normal(heads * size).astype(np.float32) for _ in range(3)]
    scales = [one(0.06), one(0.05), one(0.04)]
    factor, matrix = np.float32(0.02), np.float32(0.01)
    q, k, v = (
        (rounded(x * factor @ (w * matrix) + b, s) * s).reshape(batch, length, heads, size).transpose(0, 2, 1, 3)
        for w, b, s in zip(weights, biases, scales, strict=True)
    )
    ends = np.array([2, 3], np.int32)
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(size)
    scores = scores + np.where(np.arange(length) < ends[:, None], 0, -10000.0)[:, None, None]
    if causal:
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    y = (shares / shares.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(batch, length, -1)
    given: dict[str, Array | None] = {
        "x": x, "sx": one(0.02), "sq": scales[0], "sk": scales[1], "sv": scales[2],
        **{n: np.ascontiguousarray(w.T).reshape(w.shape) for n, w in zip(("wq", "wk", "wv"), weights, strict=True)},
        **{n: one(0.01) for n in ("swq", "swk", "swv")}, **dict(zip(("bq", "bk", "bv"), biases, strict=True)),
        "scores": None, "softmax": None, "sy": one(0.05), "mask": ends,
    }  # fmt: skip
    orders = {"order_input": 1, "order_output": 1, "order_weight": 0}
    attention = use("QOrderedAttention", given, loose=1, num_heads=heads, unidirectional=causal, **orders)
    compare(attention, [rounded(y.astype(np.float32), 0.05)], tmp_path)


def test_tiles_for_a_gpu_are_refused(tmp_path: Path) -> None:
    given: dict[str, Array | None] = {"x": np.zeros((2, 2), np.float32), "s": one(1)}
    with pytest.raises(UnsupportedModel, match=r"orders \(1, 2\); only rows"):
        use("QuantizeWithOrder", given, order_input=1, order_output=2).graph(tmp_path)
