"""Attention with a state is here what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.tensor.dtype import Array

B, T, D, V = 2, 5, 4, 3
"""Batch, tokens, size of a key, of a value."""


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32) / 2


def linear(rule: str, *, queries: int = 2, keys: int = 2, wide: bool = False, past: bool = False, **how: Any) -> Use:
    inputs = {
        "q": data(B, T, queries * D), "k": data(B, T, keys * D), "v": data(B, T, keys * V),
        "past": data(B, keys, D, V) if past else None,
        "decay": -np.abs(data(B, T, keys * D if wide else keys)) if "gated" in rule else None,
        "beta": np.abs(data(B, T, keys)) if "delta" in rule else None,
    }  # fmt: skip
    inputs |= how.pop("inputs", {})
    attributes = {"q_num_heads": queries, "kv_num_heads": keys, "update_rule": rule, **how.pop("attributes", {})}
    return Use("LinearAttention", MICROSOFT, inputs, attributes, ("y", "state"), types={"y": 1, "state": 1}, **how)


def attentions() -> Iterator[Use]:
    for rule in ("linear", "gated", "delta", "gated_delta"):
        yield linear(rule)
        yield linear(rule, past=True)
    yield linear("gated_delta", wide=True, past=True)
    yield linear("gated_delta", queries=4, past=True)
    yield linear("gated_delta", keys=4, past=True)
    yield linear("gated_delta", attributes={"scale": 0.3})


def convolution(*, kernel: int = 4, past: int = 0, bias: bool = False, last: int = 0, **how: Any) -> Use:
    x, old = data(B, 3, T), data(B, 3, past)
    inputs = {
        "x": x.transpose(0, 2, 1).copy() if last else x, "w": data(3, 1, kernel), "b": data(3) if bias else None,
        "past": None if not past else old.transpose(0, 2, 1).copy() if last else old,
    }  # fmt: skip
    fields = {n: how.pop(n) for n in ("symbolic", "fixed") if n in how}
    attributes = {"channels_last": last, **how}
    return Use(
        "CausalConvWithState", MICROSOFT, inputs, attributes, ("y", "state"), types={"y": 1, "state": 1}, **fields
    )


def convolutions() -> Iterator[Use]:
    yield convolution()
    yield convolution(past=3, bias=True, activation="silu")
    yield convolution(past=6, dilation=2)
    yield convolution(kernel=1, bias=True)
    yield convolution(past=3, symbolic=True, fixed=("w",))
    yield convolution(past=3, last=1)


def delta_net(
    rule: str = "gated_delta", *, heads: int = 2, wide: bool = False, flat: bool = False, past: bool = True, **how: Any
) -> Use:
    lead = (B * T,) if flat else (B, T)
    inputs = {
        "q": data(*lead, 2, D), "k": data(*lead, 2, D) / 2, "v": data(*lead, heads, V), "cu": None,
        "decay": -np.abs(data(*lead, heads, D) if wide else data(*lead, heads)) if "gated" in rule else None,
        "beta": np.abs(data(*lead, heads)) if "delta" in rule else None,
        "past": data(B, heads, V, D) if past else None,
    }  # fmt: skip
    inputs |= {"a": data(heads), "dt": data(heads)} if "gate_activation" in how else {}
    inputs |= how.pop("inputs", {})
    return Use(
        "GatedDeltaNet", MICROSOFT, inputs, {"update_rule": rule, **how}, ("y", "state"), types={"y": 1, "state": 1}
    )


def delta_nets() -> Iterator[Use]:
    for rule in ("linear", "gated", "delta", "gated_delta"):
        yield delta_net(rule)
    yield delta_net(heads=4)
    yield delta_net(wide=True)
    yield delta_net(flat=True)
    yield delta_net(past=False)
    yield delta_net(scale=0.3, qk_l2_norm=1)
    yield delta_net(gate_activation="softplus", beta_activation="sigmoid")
    yield delta_net(gate_activation="sigmoid", gate_lower_bound=-2.0)
    yield delta_net(gate_activation="softplus", wide=True, inputs={"dt": data(2, D)})


GATE = {"a": data(B, T, 2), "bias": data(2), "scale": -np.abs(data(2)), "b": data(B, T, 2)}
CASES = [
    *attentions(), *convolutions(), *delta_nets(), Use("LinearAttentionGate", MICROSOFT, GATE, {}, ("decay", "beta")),
    Use("LinearAttentionGate", MICROSOFT, GATE | {"b": None}, {}, ("decay",)),
]  # fmt: skip


@pytest.mark.parametrize("use", CASES, ids=[f"{u.op}-{i}" for i, u in enumerate(CASES)])
def test_linear_attention_is_what_onnxruntime_computes(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (linear("linear", attributes={"state_window": 2}), "states of several tokens"),
        (convolution(state_window=2), "another state than its filters need"),
        (convolution(activation="gelu"), "gelu is not known"),
        (delta_net(inputs={"cu": np.array([0, T, 2 * T], np.int32)}), "sequences are packed"),
    ],
)
def test_what_cannot_be_translated_says_why(use: Use, why: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        use.graph(tmp_path)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (linear("quadratic"), "none of linear, gated"),
        (linear("gated", inputs={"decay": None}), "the decay, which is missing"),
        (linear("linear", attributes={"q_num_heads": 3}), "do not go with"),
        (linear("linear", attributes={"q_num_heads": 1, "kv_num_heads": 1 << 31}), "are not of 2147483648 heads"),
    ],
)
def test_what_contradicts_itself_is_an_error(use: Use, why: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=why):
        use.graph(tmp_path)
