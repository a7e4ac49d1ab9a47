"""Mixtures of experts, as onnxruntime computes them; by their definition where its CPU kernels take only some forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.errors import UnsupportedModel
from modelbuild.tensor.dtype import Array

TOKENS, EXPERTS, SIZE, INNER = 5, 4, 32, 16
RNG = np.random.default_rng(11)


def data(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def octets(*shape: int) -> Array:
    return RNG.integers(0, 256, shape, np.uint8)


def experts(inner: int, *, third: bool = False) -> dict[str, Array | None]:
    return {
        "x": data(TOKENS, SIZE), "router": data(TOKENS, EXPERTS), "fc1": data(EXPERTS, inner, SIZE) / 4,
        "b1": data(EXPERTS, inner), "fc2": data(EXPERTS, SIZE, INNER) / 4, "b2": data(EXPERTS, SIZE),
        "fc3": data(EXPERTS, INNER, SIZE) / 4 if third else None, "b3": data(EXPERTS, INNER) if third else None,
    }  # fmt: skip


def use(operator: str, given: dict[str, Array | None], *, loose: float = 1e-4, **attributes: Any) -> Use:
    fixed = [n for n, a in given.items() if a is not None and n not in {"x", "router", "aggregate"}]
    return Use(operator, MICROSOFT, given, attributes, fixed=fixed, loose=loose)


SWIGLU: dict[str, Any] = {
    "activation_type": "swiglu",
    "activation_alpha": 1.702,
    "activation_beta": 1.0,
    "swiglu_limit": 1.5,
}


@pytest.mark.parametrize("normalized", [0, 1])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "identity", "swiglu"])
def test_the_best_experts_share_a_token(tmp_path: Path, activation: str, k: int, normalized: int) -> None:
    gated = activation == "swiglu"
    attributes: dict[str, Any] = {**SWIGLU, "swiglu_fusion": 1} if gated else {"activation_type": activation}
    given = experts(2 * INNER if gated else INNER)
    check(use("MoE", given, k=k, normalize_routing_weights=normalized, **attributes), tmp_path)


def by_definition(given: dict[str, Array | None], gate: Array, linear: Array) -> Array:
    """What the best expert of each token makes of it, from the two layers ``[expert, token, inner]``."""
    gate, linear = np.minimum(gate, 1.5), np.clip(linear, -1.5, 1.5)
    hidden = gate / (1 + np.exp(-1.702 * gate)) * (linear + 1)
    made = np.asarray(hidden @ turned(given["fc2"]) + given["b2"][:, None])  # type: ignore[index]
    best = np.asarray(given["router"]).argmax(1)
    return np.asarray(made[best, np.arange(TOKENS)], np.float32)


def turned(weights: Array | None) -> Array:
    assert weights is not None
    return np.asarray(np.swapaxes(weights, 1, 2))


@pytest.mark.parametrize("fusion", [0, 2])
def test_gates_are_layers_or_halves_of_one(tmp_path: Path, fusion: int) -> None:
    given = experts(INNER if fusion == 0 else 2 * INNER, third=fusion == 0)
    first = given["x"] @ turned(given["fc1"]) + given["b1"][:, None]  # type: ignore[index]
    if fusion == 0:
        second = given["x"] @ turned(given["fc3"]) + given["b3"][:, None]  # type: ignore[index]
    else:
        first, second = np.split(first, 2, -1)
    wanted = by_definition(given, first, second)
    compare(use("MoE", given, k=1, normalize_routing_weights=1, swiglu_fusion=fusion, **SWIGLU), [wanted], tmp_path)


def test_tokens_may_be_in_batches(tmp_path: Path) -> None:
    given = experts(INNER)
    given["x"] = data(2, 3, SIZE)
    given["router"] = data(6, EXPERTS)
    check(use("MoE", given, k=2), tmp_path)


@pytest.mark.parametrize("zero_points", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block", [0, 16])
def test_experts_of_few_bits(tmp_path: Path, bits: int, block: int, *, zero_points: bool) -> None:
    """onnxruntime rounds the tokens to eight bits, too, where the weights are blocks of them."""

    def scales(out: int, size: int) -> Array:
        shape = (EXPERTS, out, size // block) if block else (EXPERTS, out)
        return np.abs(data(*shape) / np.float32(2 ** (bits + 1)))

    def zeros(out: int, size: int) -> Array | None:
        if not zero_points:
            return None
        return octets(EXPERTS, out, -(-size // block * bits // 8)) if block else octets(EXPERTS, out * bits // 8)

    given: dict[str, Array | None] = {
        "x": data(TOKENS, SIZE), "router": data(TOKENS, EXPERTS), "fc1": octets(EXPERTS, 2 * INNER, SIZE * bits // 8),
        "s1": scales(2 * INNER, SIZE), "b1": None, "fc2": octets(EXPERTS, SIZE, INNER * bits // 8),
        "s2": scales(SIZE, INNER), "b2": None, "fc3": None, "s3": None, "b3": None,
        "z1": zeros(2 * INNER, SIZE), "z2": zeros(SIZE, INNER),
    }  # fmt: skip
    attributes = {"expert_weight_bits": bits, "k": 2, "normalize_routing_weights": 1, "swiglu_fusion": 1, **SWIGLU}
    if block:
        attributes["block_size"] = block
    check(use("QMoE", given, loose=0.05 if block and bits == 8 else 1e-4, **attributes), tmp_path)


def test_other_numbers_may_weigh_the_experts(tmp_path: Path) -> None:
    given: dict[str, Array | None] = {
        "x": data(TOKENS, SIZE), "router": data(TOKENS, EXPERTS), "fc1": octets(EXPERTS, INNER, SIZE),
        "s1": np.full((EXPERTS, INNER), 0.01, np.float32), "b1": None, "fc2": octets(EXPERTS, SIZE, INNER),
        "s2": np.full((EXPERTS, SIZE), 0.01, np.float32), "b2": None, "fc3": None, "s3": None, "b3": None,
        "z1": None, "z2": None, "z3": None, "aggregate": np.abs(data(TOKENS, EXPERTS)),
    }  # fmt: skip
    check(use("QMoE", given, expert_weight_bits=8, k=2, normalize_routing_weights=1), tmp_path)


def test_a_sparse_mixer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="its mixer is sparse"):
        use("MoE", experts(INNER), k=2, use_sparse_mixer=1).graph(tmp_path)
