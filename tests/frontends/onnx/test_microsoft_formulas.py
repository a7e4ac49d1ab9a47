"""Operators that onnxruntime has for other devices are what their documents say, in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.errors import UnsupportedModel
from modelbuild.tensor.dtype import Array

B, S, H, D = 2, 7, 2, 4
"""Batch, tokens, heads, size of a head."""


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def softmax(x: Array) -> Array:
    risen = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(risen / risen.sum(-1, keepdims=True))


def heads(x: Array) -> list[Array]:
    return [part.reshape(B, S, H, D).transpose(0, 2, 1, 3) for part in np.split(x, 3, 2)]


def test_few_tokens_see_all_and_are_seen_by_all(tmp_path: Path) -> None:
    window = 1
    x, mask, flags = data(B, S, 6), np.zeros((B, S), np.float32), np.zeros((B, S), np.int32)
    mask[1, 5:], flags[:, 0], flags[1, 3] = -10000, 1, 1
    layers = {n: data(6, 3 * H * D) + i for i, n in enumerate(("w", "gw"))}
    biases = {n: data(3 * H * D) - i for i, n in enumerate(("b", "gb"))}
    inputs = {"x": x, "w": layers["w"], "b": biases["b"], "mask": mask, "gw": layers["gw"], "gb": biases["gb"]}
    near = np.abs(np.arange(S)[:, None] - np.arange(S)) <= window
    answers = []
    for (w, b), seen in zip(
        ((layers["w"], biases["b"]), (layers["gw"], biases["gb"])), (near, near | True), strict=True
    ):
        q, k, v = heads(x @ w + b)
        scores = q @ k.transpose(0, 1, 3, 2) / 2 + mask[:, None, None]
        scores = np.where(seen | (flags != 0)[:, None, None], scores, -np.inf)
        answers.append((softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(B, S, H * D))
    wanted = np.where(flags[..., None] != 0, answers[1], answers[0])
    use = Use(
        "LongformerAttention", MICROSOFT, {**inputs, "flags": flags}, {"num_heads": H, "window": window}, loose=1e-4
    )
    compare(use, [wanted.astype(np.float32)], tmp_path)


@pytest.mark.parametrize("samples", [6, 8])
def test_spectra_are_those_of_real_numbers(samples: int, tmp_path: Path) -> None:
    x = data(3, samples)
    spectrum = np.fft.rfft(x).astype(np.complex64)
    pairs = np.stack([spectrum.real, spectrum.imag], -1)
    compare(Use("Rfft", MICROSOFT, {"x": x}, {"signal_ndim": 1}), [pairs], tmp_path)
    compare(Use("Irfft", MICROSOFT, {"x": pairs}, {"signal_ndim": 1}), [x], tmp_path)


def test_spectra_of_several_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="several axes"):
        Use("Rfft", MICROSOFT, {"x": data(4, 4)}, {"signal_ndim": 2}).graph(tmp_path)


def router(**how: Any) -> Use:
    return Use("MoEGroupRouter", MICROSOFT, {"x": data(5, 12), "bias": data(12)}, how)


@pytest.mark.parametrize(
    "use",
    [
        router(top_k=3),
        router(top_k=3, n_group=4, topk_group=2),
        router(top_k=4, n_group=3, topk_group=1, group_topk=9, router_sentinel=-5.0),
    ],
)
def test_experts_are_those_that_onnxruntime_chooses(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


def test_all_experts_may_be_wanted(tmp_path: Path) -> None:
    x, bias, weight = data(5, 256), data(12), data(12, 256)
    weights = 1 / (1 + np.exp(-(x @ weight.T)))
    use = Use(
        "MoEGroupRouter", MICROSOFT, {"x": x, "bias": bias, "w": weight}, {"top_k": 2}, ("", "scores", "weights"),
        loose=1e-4,
    )  # fmt: skip
    compare(use, [weights + bias, weights], tmp_path)


@pytest.mark.parametrize("step", [None, 0.5])
def test_weights_may_be_real_numbers_of_a_byte(step: float | None, tmp_path: Path) -> None:
    f8 = ml_dtypes.float8_e4m3fn
    weights = data(6, 32).astype(f8)
    x, scales, bias = data(3, 32).astype(np.float16), np.abs(data(6, 2)), data(6).astype(np.float16)
    a_scale = None if step is None else np.array(step, np.float32)
    inputs = {"a": x, "b": weights, "scales": scales, "a_scale": a_scale, "bias": bias}
    fixed = [n for n in ("b", "scales", "a_scale", "bias") if inputs[n] is not None]
    use = Use(
        "MatMulBlockQuantizedFp8Weight", MICROSOFT, inputs, {"block_size": 16}, fixed=fixed, types={"y": 10}, loose=0.02
    )
    x = x if step is None else (x / step).astype(f8).astype(np.float32) * step
    real = weights.astype(np.float32) * np.repeat(scales, 16, 1)
    compare(use, [(x @ real.T + bias).astype(np.float16)], tmp_path)


def test_weights_may_be_real_numbers_of_half_a_byte(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (6, 32)).astype(np.uint8)
    scales = np.abs(data(6, 2)).astype(ml_dtypes.float8_e4m3fn)
    x, whole = data(3, 32).astype(np.float16), np.array(0.25, np.float32)
    inputs = {"a": x, "b": codes[:, ::2] | codes[:, 1::2] << 4, "scales": scales.view(np.uint8), "whole": whole}
    use = Use(
        "MatMulBlockQuantizedFp4Weight", MICROSOFT, inputs, fixed=("b", "scales", "whole"), types={"y": 10}, loose=0.05
    )
    numbers = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    real = numbers * np.repeat(scales.astype(np.float32), 16, 1) * whole
    compare(use, [(x @ real.T).astype(np.float16)], tmp_path)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("before", [False, True])
def test_branches_are_gated_by_a_narrow_layer(tmp_path: Path, *, before: bool) -> None:
    branches, size, rank = 3, 4, 2
    x, scale = data(B, S, branches * size), data(branches * size)
    down, up, inject = data(branches * size, rank), data(rank, branches * size), data(branches * size, branches)
    block, gate = (data(B, S, size), data(B, S, branches)) if before else (None, None)
    inputs = {"x": x, "scale": scale, "down": down, "up": up, "inject": inject, "block": block, "gate": gate}
    outputs = ("pre", "post", "streams") if before else ("pre", "post")
    attributes = {
        "num_branches": branches,
        "gate_div": 2.0,
        "gate_mul": 3.0,
        "silu_alpha": 0.5,
        "reduction_scale": 0.25,
    }
    use = Use("HyperConnectionLowRankMix", MICROSOFT, inputs, attributes, outputs, loose=1e-4)
    apart = x.reshape(B, S, branches, size)
    if block is not None and gate is not None:
        apart = apart + gate[..., None] * block[:, :, None]
    normed = apart / np.sqrt(np.square(apart).mean(-1, keepdims=True) + 1e-5) * scale.reshape(branches, size)
    flat = normed.reshape(B, S, -1)
    hidden = flat @ down * 0.5
    gates = sigmoid(hidden * sigmoid(hidden) @ up).reshape(apart.shape)
    pre, post = (normed * gates).sum(2) * 0.25, sigmoid(flat @ inject / 2) * 3
    wanted = [a.astype(np.float32) for a in (pre, post, apart.reshape(x.shape))]
    compare(use, wanted[: len(use.outputs)], tmp_path)


def test_scores_and_the_shared_expert_come_of_one_product(tmp_path: Path) -> None:
    x, w = data(B, S, 8), data(8, 3 + 2 * 5)
    use = Use("RouterGateUpProj", MICROSOFT, {"x": x, "w": w}, {"router_size": 3}, ("r", "y"), types={"r": 1, "y": 1})
    router, gate, up = np.split(x @ w, [3, 8], 2)
    compare(use, [router, gate * sigmoid(gate) * up], tmp_path)
