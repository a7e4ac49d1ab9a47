"""Attention of decoders: what onnxruntime has for other devices is compared with its formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, compare

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.runtime.reference import Reference
from modelbuild.tensor.dtype import Array

B, S, T, H, D, P = 2, 3, 4, 2, 4, 5
"""Batch, sequence, other sequence, heads, size of a head, past."""
FLAGS = ("static", "use_past", "state", "padded")


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def decoder(*flags: str, mask: Array | None = None, caches: bool = False, **how: Any) -> Use:
    cache = {"k_cache": data(B, H, P, D), "v_cache": data(B, H, P, D) + 1} if caches else {}
    inputs = {
        "query": data(S, B, H * D), "key": data(T, B, H * D), "q_weight": data(H * D, H * D),
        "kv_weight": data(H * D, 2 * H * D), "bias": data(3 * H * D), "mask": mask,
        "k_cache": None, "v_cache": None, **cache, **{flag: np.array(flag in flags) for flag in FLAGS},
    }  # fmt: skip
    fields = {"fixed": FLAGS, "types": {"k": 1, "v": 1, "y": 1}, "outputs": ("y", "k", "v"), **how}
    return Use("DecoderAttention", MICROSOFT, inputs, {"num_heads": H}, **fields)


def heads(x: Array) -> Array:
    """``[sequence, batch, heads * size]``  ->  ``[batch, heads, sequence, size]``"""
    return x.reshape(len(x), B, H, D).transpose(1, 2, 0, 3)


def attended(use: Use) -> list[Array]:
    given = {name: np.asarray(value) for name, value in use.inputs.items() if value is not None}
    static, use_past, state, padded = (bool(given[flag]) for flag in FLAGS)
    bq, bk, bv = np.split(given["bias"], 3)
    q = heads(given["query"] @ given["q_weight"] + bq)
    if static and use_past and state:
        k, v = given["k_cache"], given["v_cache"]
    else:
        both = (given["key"] if static else given["query"]) @ given["kv_weight"]
        k, v = (heads(part + b) for part, b in zip(np.split(both, 2, 2), (bk, bv), strict=True))
        if use_past and state:
            k, v = (np.concatenate([given[f"{n}_cache"], x], 2) for n, x in (("k", k), ("v", v)))
    scores = q @ k.transpose(0, 1, 3, 2) / 2
    if padded:
        scores = scores + np.where(given["mask"], -10000, 0)[:, None, None]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = weights / weights.sum(-1, keepdims=True) @ v
    return [y.transpose(2, 0, 1, 3).reshape(S, B, H * D).astype(np.float32), k, v]


HIDDEN = np.array([[False, True, False, False], [False] * 3 + [True]])


@pytest.mark.parametrize(
    "use",
    [
        decoder(),
        decoder(symbolic=True, fixed=(*FLAGS, "q_weight", "kv_weight", "bias")),
        decoder("static"),
        decoder("static", "padded", mask=HIDDEN),
        decoder("static", mask=HIDDEN),
        decoder("use_past", "state", caches=True),
        decoder("static", "use_past", "state", caches=True, outputs=("y",)),
        decoder("static", "use_past", caches=True),
    ],
)
def test_a_decoder_attends_to_itself_or_to_another(use: Use, tmp_path: Path) -> None:
    compare(use, attended(use)[: len(use.outputs)], tmp_path)


def one_token(**how: Any) -> Use:
    """The operator for one token, whose inputs differ in their order only from those of Attention."""
    inputs = {
        "x": data(B, 1, 6), "w": data(6, 3 * H * D), "b": data(3 * H * D), "mask": np.ones((B, P + 1), np.int32),
        "past": data(2, B, H, P, D), "added": None, "length": np.array([P], np.int32),
    }  # fmt: skip
    return Use(
        "DecoderMaskedSelfAttention", MICROSOFT, inputs | how.pop("inputs", {}), {"num_heads": H, **how},
        ("y", "present"), types={"y": 1, "present": 1},
    )  # fmt: skip


def test_masked_attention_of_one_token_is_attention(tmp_path: Path) -> None:
    use = one_token()
    same = {n: use.inputs[n] for n in ("x", "w", "b", "mask", "past")}
    plain = Use("Attention", MICROSOFT, same, use.attributes, use.outputs)
    wanted = Reference(plain.save(tmp_path)).run(plain.feeds)
    compare(use, [wanted[n] for n in use.outputs], tmp_path)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (one_token(past_present_share_buffer=1), "share a buffer"),
        (one_token(inputs={"beams": np.array([2], np.int32)}), "shared by beams"),
        (decoder(fixed=()), r"static_kv .* a constant is needed"),
    ],
)
def test_what_cannot_be_translated_says_why(use: Use, why: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        use.graph(tmp_path)


def test_a_past_without_caches_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lacks a cache"):
        decoder("use_past", "state").graph(tmp_path)
