"""Gates, and other small operators of ``com.microsoft``: by onnxruntime where its CPU has a kernel, else by numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.tensor.dtype import Array


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def octets(*shape: int, kind: type[np.integer[Any]] = np.uint8) -> Array:
    return np.random.default_rng(shape).integers(0, 100, shape).astype(kind)


X, Y = data(2, 3, 8), data(2, 3, 8) + 1
ONNXRUNTIME = [
    Use("GatedAdd", MICROSOFT, {"x": X, "other": Y, "gate": data(2, 3, 1)}),
    Use("ScaledSiLU", MICROSOFT, {"x": X}, {"alpha": 1.5}),
    Use("ScaledSiLU", MICROSOFT, {"x": X, "scale": np.array(0.3, np.float32)}),
    Use("GatedRMSNorm", MICROSOFT, {"x": X, "scale": data(4), "gate": Y}),
    Use("GatedRMSNorm", MICROSOFT, {"x": X, "scale": data(8), "gate": Y}, {"activation": "sigmoid", "epsilon": 1e-3}),
    Use("CDist", MICROSOFT, {"a": data(3, 4), "b": data(5, 4)}, loose=1e-4),
    Use("CDist", MICROSOFT, {"a": data(3, 4), "b": data(5, 4)}, {"metric": "euclidean"}, loose=1e-4),
    Use("Inverse", MICROSOFT, {"x": data(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)}),
    Use("UnfoldTensor", MICROSOFT, {"x": data(3, 9, 4)}, {"dim": 1, "size": 4, "step": 2}),
    Use("UnfoldTensor", MICROSOFT, {"x": data(3, 9)}, {"size": 3}, symbolic=True),
    Use(
        "Unique", MICROSOFT, {"x": np.array([2, 1, 1, 3, 4, 3], np.float32)}, {}, ("y", "at", "counts"),
        types={"y": 1, "at": 7, "counts": 7},
    ),
    Use("GridSample", MICROSOFT, {"x": data(1, 2, 4, 5), "grid": data(1, 3, 3, 2) / 2}, {"padding_mode": "border"}),
    Use(
        "ConvTransposeWithDynamicPads", MICROSOFT,
        {"x": data(1, 2, 4, 5), "w": data(2, 3, 3, 3), "pads": np.array([1, 0, 1, 2], np.int64), "b": data(3)},
        {"strides": (2, 1)}, fixed=("w", "pads", "b"),
    ),
]  # fmt: skip


def named(use: Use) -> str:
    return use.op


@pytest.mark.parametrize("use", ONNXRUNTIME, ids=named)
def test_as_onnxruntime(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


def softmax(x: Array) -> Array:
    risen = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(risen / risen.sum(-1, keepdims=True))


def limited(gate: Array, up: Array) -> Array:
    gate = np.minimum(gate, 0.7)
    return np.asarray(gate * sigmoid(np.float32(1.7) * gate) * (np.clip(up, -0.7, 0.7) + 1), np.float32)


def fast_gelu(x: Array) -> Array:
    return np.asarray(x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), np.float32)


def pairs(x: Array) -> Array:
    return np.stack([x.real, x.imag], -1).astype(np.float32)


SWIGLU = {"activation_alpha": 1.7, "activation_beta": 1.0, "limit": 0.7}
A, B = data(2, 4, 6), data(6, 5)
U, V = octets(3, 4), octets(4, kind=np.uint8)
SEEN = np.where(data(2, 1, 1, 5) > 0, 0, -10000).astype(np.float32)
SCORES = data(2, 3, 4, 5)
BY_DEFINITION = [
    (Use("SwiGLU", MICROSOFT, {"x": X, "up": Y}, SWIGLU), [limited(X, Y)]),
    (Use("SwiGLU", MICROSOFT, {"x": X}), [X[..., :4] * sigmoid(X[..., :4]) * X[..., 4:]]),
    (
        Use("GatedAdd", MICROSOFT, {"x": X, "other": Y, "gate": data(2, 3, 5), "weight": data(5, 1)}),
        [X + Y * sigmoid(data(2, 3, 5) @ data(5, 1))],
    ),
    (
        Use("BiasSoftmax", MICROSOFT, {"x": SCORES, "bias": SEEN}, {"axis": 3, "is_inner_broadcast": 1}),
        [softmax(SCORES + SEEN)],
    ),
    (
        Use("BiasSoftmax", MICROSOFT, {"x": data(2, 3, 4), "b": data(1, 3, 4)}, {"axis": 1, "is_inner_broadcast": 0}),
        [softmax((data(2, 3, 4) + data(1, 3, 4)).reshape(2, 12)).reshape(2, 3, 4)],
    ),
    (
        Use("FusedMatMulActivation", MICROSOFT, {"a": A, "b": B}, {"alpha": 0.5, "activation": "Relu"}),
        [np.maximum(A @ B * np.float32(0.5), 0)],
    ),
    (
        Use("GemmFastGelu", MICROSOFT, {"x": A, "w": B, "bias": data(5)}, loose=1e-4),
        [fast_gelu(A @ B + data(5))],
    ),
    (
        Use("ComplexMul", MICROSOFT, {"a": data(3, 2), "b": data(3, 2) + 1}),
        [pairs(data(3, 2) @ [1, 1j] * ((data(3, 2) + 1) @ [1, 1j]))],
    ),
    (
        Use("ComplexMulConj", MICROSOFT, {"a": data(3, 2), "b": data(3, 2) + 1}),
        [pairs(data(3, 2) @ [1, 1j] * ((data(3, 2) + 1) @ [1, -1j]))],
    ),
    (
        Use("MulInteger", MICROSOFT, {"a": U, "az": np.uint8(7) * np.ones((), np.uint8), "b": V}),
        [(U.astype(np.int32) - 7) * V.astype(np.int32)],
    ),
    (
        Use("ReduceSumInteger", MICROSOFT, {"x": octets(3, 4, kind=np.int8)}, {"axes": (1,), "keepdims": 0}),
        [octets(3, 4).astype(np.int32).sum(1, dtype=np.int32)],
    ),
    (Use("BiasDropout", MICROSOFT, {"x": X, "bias": data(8), "residual": Y}), [X + data(8) + Y]),
    (Use("BitmaskBiasDropout", MICROSOFT, {"x": X, "bias": data(8), "residual": Y}), [X + data(8) + Y]),
    (Use("TorchEmbedding", MICROSOFT, {"w": data(5, 3), "i": np.array([[4, 0]], np.int64)}), [data(5, 3)[[[4, 0]]]]),
    (Use("BitmaskDropout", MICROSOFT, {"x": X}), [X]),
]  # fmt: skip


@pytest.mark.parametrize(("use", "wanted"), BY_DEFINITION, ids=lambda v: v.op if isinstance(v, Use) else "")
def test_by_definition(use: Use, wanted: Sequence[Array], tmp_path: Path) -> None:
    compare(use, wanted, tmp_path)


INF, NAN = np.full(3, np.inf, np.float32), np.full(3, np.nan, np.float32)


@pytest.mark.parametrize(
    ("bad", "attributes", "fine"),
    [
        (X, {}, True), (INF, {}, False), (NAN, {}, False), (INF, {"isnan_only": 1}, True),
        (NAN, {"isnan_only": 1}, False), (NAN, {"isinf_only": 1}, True), (INF, {"isinf_only": 1}, False),
    ],
)  # fmt: skip
def test_one_bad_number_is_enough(bad: Array, attributes: dict[str, int], tmp_path: Path, *, fine: bool) -> None:
    use = Use("IsAllFinite", MICROSOFT, {"x": X, "bad": bad}, attributes)
    compare(use, [np.array(fine)], tmp_path)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("interleaved", [0, 1])
def test_angles_of_three_positions(tmp_path: Path, layout: int, interleaved: int, *, flat: bool) -> None:
    batch, heads, length, size = 2, 3, 4, 12
    x = data(batch, length, heads * size) if flat else data(batch, heads, length, size)
    places = np.random.default_rng(2).integers(0, 9, (3, batch, length))
    given = {"x": x, "places": places, "cos": data(9, size // 2), "sin": data(9, size // 2)}
    attributes = {"mrope_section": (2, 2, 2), "mrope_layout": layout, "interleaved": interleaved}
    if flat:
        attributes |= {"num_heads": heads, "rotary_embedding_dim": size}
    check(Use("MRotaryEmbedding", MICROSOFT, given, attributes, fixed=("cos", "sin")), tmp_path)


@pytest.mark.parametrize("segments", [False, True])
def test_embeddings_of_eight_bits(tmp_path: Path, *, segments: bool) -> None:
    ids, mask = np.array([[3, 1, 0], [4, 4, 2]], np.int32), np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    tables = {n: octets(*shape) for n, shape in {"w": (5, 8), "p": (6, 8), "s": (2, 8), "g": (8,), "b": (8,)}.items()}
    some = ("w", "p", "s", "g", "b")
    given: dict[str, Array | None] = {
        "ids": ids, "segments": ids % 2, **tables, "mask": mask,
        **{f"{n}s": np.array(0.01 * (i + 1), np.float32) for i, n in enumerate(some)},
        **{f"{n}z": np.array(10 * i, np.uint8) for i, n in enumerate(some)},
    }  # fmt: skip
    if not segments:
        given |= dict.fromkeys(("segments", "s", "ss", "sz"))
    fixed = [n for n, a in given.items() if a is not None and n not in {"ids", "segments", "mask"}]
    use = Use("QEmbedLayerNormalization", MICROSOFT, given, {"epsilon": 1e-6}, ("y", "words"), fixed, loose=1e-4)
    check(use, tmp_path)
