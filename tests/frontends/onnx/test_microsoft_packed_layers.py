"""Layers in one operator are what onnxruntime computes of the operators that they were fused of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, compare

from modelbuild.errors import UnsupportedModel
from modelbuild.runtime.reference import Reference
from modelbuild.tensor.dtype import Array

K, N, M = 32, 6, 4
FORM: dict[str, Any] = {"K": K, "bits": 4, "block_size": 16}


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def octets(rows: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (rows, K // 16, 8), np.uint8)


X, SKIP, SCALE = data(2, 3, K), data(2, 3, K) + 1, data(K)


def ran(use: Use, folder: Path) -> list[Array]:
    found = Reference(use.save(folder)).run(use.feeds)
    return [found[name] for name in use.outputs]


def normalized(folder: Path, *, skipped: bool, epsilon: float) -> tuple[Array, Array | None]:
    name = "SkipSimplifiedLayerNormalization" if skipped else "SimplifiedLayerNormalization"
    inputs = {"x": X, **({"skip": SKIP} if skipped else {}), "scale": SCALE}
    domain = MICROSOFT if skipped else ""
    return ran(Use(name, domain, inputs, {"epsilon": epsilon}), folder)[0], X + SKIP if skipped else None


def projected(x: Array, weights: Array, scales: Array, bias: Array | None, folder: Path) -> Array:
    inputs = {"a": x, "b": weights, "scales": scales, "zeros": None, "order": None, "bias": bias}
    fixed = [n for n in ("b", "scales", "bias") if inputs[n] is not None]
    return ran(Use("MatMulNBits", MICROSOFT, inputs, {**FORM, "N": len(weights)}, fixed=fixed), folder)[0]


@pytest.mark.parametrize("skipped", [False, True])
def test_three_projections_share_a_normalisation(tmp_path: Path, *, skipped: bool) -> None:
    rows = {"q": N, "k": M, "v": M}
    layers = {n: (octets(r, i), data(r, i + 2)[:, :2].copy(), data(r)) for i, (n, r) in enumerate(rows.items())}
    inputs: dict[str, Array | None] = {"a": X, "skip": SKIP if skipped else None, "norm": SCALE}
    for name, (weights, scales, bias) in layers.items():
        inputs |= {f"{name}_b": weights, f"{name}_scales": scales, f"{name}_bias": bias}
    outputs = ("q", "k", "v", "sum") if skipped else ("q", "k", "v")
    use = Use(
        "MatMulNBitsQkv", MICROSOFT, inputs, {**FORM, "Nq": N, "Nkv": M, "epsilon": 0.01}, outputs,
        fixed=[n for n in inputs if n not in {"a", "skip"}], types=dict.fromkeys(outputs, 1), loose=1e-4,
    )  # fmt: skip
    x, total = normalized(tmp_path, skipped=skipped, epsilon=0.01)
    made = [projected(x, *layer, tmp_path) for layer in layers.values()]
    compare(use, made if total is None else [*made, total], tmp_path)


def mlp(**how: Any) -> Use:
    inputs = {
        "a": X, "skip": None, "norm": None, "gate": octets(N, 1), "gate_scales": data(N, 2), "gate_bias": None,
        "up": octets(N, 2), "up_scales": data(N, 2) + 1, "up_bias": data(N), **how.pop("inputs", {}),
    }  # fmt: skip
    fixed = [n for n, x in inputs.items() if n not in {"a", "skip"} and x is not None]
    return Use(
        "MatMulNBitsMlp", MICROSOFT, inputs, {**FORM, "N": N, "activation": "silu", **how}, fixed=fixed,
        types={"y": 1}, loose=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("normed", [False, True])
def test_one_projection_lets_another_through(tmp_path: Path, *, normed: bool) -> None:
    use = mlp(inputs={"norm": SCALE if normed else None})
    x = normalized(tmp_path, skipped=False, epsilon=1e-5)[0] if normed else X
    gate = projected(x, octets(N, 1), data(N, 2), None, tmp_path)
    up = projected(x, octets(N, 2), data(N, 2) + 1, data(N), tmp_path)
    compare(use, [gate / (1 + np.exp(-gate)) * up], tmp_path)


@pytest.mark.parametrize("rank", [0, 16])
def test_an_adapter_is_added(tmp_path: Path, rank: int) -> None:
    def rows(count: int, columns: int, seed: int) -> Array:
        return np.random.default_rng(seed).integers(0, 256, (count, columns // 16, 8), np.uint8)

    inputs = {
        "x": X, "w": octets(N, 1), "scales": data(N, 2), "a": rows(rank, K, 2), "a_scales": data(rank, 2),
        "b": rows(N, rank, 3), "b_scales": data(N, rank // 16),
    }  # fmt: skip
    attributes = {**FORM, "N": N, "lora_bits": 4, "lora_block_size": 16}
    fixed = [n for n in inputs if n != "x"]
    use = Use("MatMulNBitsQLoRA", MICROSOFT, inputs, attributes, fixed=fixed, types={"y": 1}, loose=1e-3)
    wanted = projected(X, octets(N, 1), data(N, 2), None, tmp_path)
    if rank:
        down = projected(X, rows(rank, K, 2), data(rank, 2), None, tmp_path)
        numbers = np.stack([rows(N, rank, 3) & 15, rows(N, rank, 3) >> 4], -1).reshape(N, rank).astype(np.float32)
        wanted = wanted + down @ ((numbers - 8) * data(N, 1)).T
    compare(use, [wanted], tmp_path)


def test_an_activation_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="sine is not known"):
        mlp(activation="sine").graph(tmp_path)
