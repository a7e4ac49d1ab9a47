"""Attention of onnxruntime's own domain means here what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.errors import UnsupportedModel
from modelbuild.runtime.reference import Reference
from modelbuild.tensor.dtype import Array

B, S, H, D, P = 2, 3, 2, 4, 5
"""Batch, sequence, heads, size of a head, past."""


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def ints(*numbers: Any) -> Array:
    return np.array(numbers, np.int32)


def attention(**how: Any) -> Use:
    named = {"mask": None, "past": None, "added": None}
    given = {n: how.pop(n, None) for n in named}
    inputs = {"x": data(B, S, 6), "w": data(6, 3 * H * D), "b": data(3 * H * D), **given}
    fields = {n: how.pop(n) for n in ("outputs", "symbolic", "loose") if n in how}
    return Use("Attention", MICROSOFT, inputs, {"num_heads": H, **how}, fixed=("w", "b"), **fields)


def attentions() -> Iterator[Use]:
    yield attention()
    yield attention(symbolic=True, unidirectional=1)
    yield attention(unidirectional=1)
    yield attention(scale=0.7)
    yield attention(mask=ints([1, 1, 0], [1, 1, 1]))
    yield attention(mask=ints([0, 0, 0], [0, 1, 1]), loose=1e-3)  # scores have few digits left below -10000
    yield attention(mask=ints([0, 0, 0], [0, 1, 1]), unidirectional=1, mask_filter_value=-50.0)
    yield attention(mask=ints([[1, 0, 0], [1, 1, 0], [1, 1, 1]], [[1, 1, 1]] * 3))
    yield attention(mask=ints(2, 3))
    yield attention(mask=ints(2, 3, 0, 1))
    yield attention(added=data(1, H, S, S))
    yield attention(added=data(B, 1, S, S), mask=ints(2, 3))
    yield attention(past=data(2, B, H, P, D), outputs=("y", "present"))
    yield attention(past=data(2, B, H, P, D), outputs=("y", "present"), unidirectional=1)
    yield attention(
        past=data(2, B, H, P, D), outputs=("y", "present"), unidirectional=1, mask=np.tile(ints([1]), (B, P + S))
    )
    yield attention(outputs=("y", "present"))
    inputs = {"x": data(B, S, 6), "w": data(6, 2 * H * D + H), "b": data(2 * H * D + H)}
    yield Use("Attention", MICROSOFT, inputs, {"num_heads": H, "qkv_hidden_sizes": [H * D, H * D, H]}, fixed=("w", "b"))


def multi_head(**how: Any) -> Use:
    names = ("q", "k", "v", "bias", "mask", "added", "past_k", "past_v")
    default = {"q": data(B, S, H * D), "k": data(B, P, H * D), "v": data(B, P, H * D)}
    inputs = {n: how.pop(n, default.get(n)) for n in names}
    fields = {n: how.pop(n) for n in ("outputs", "symbolic", "fixed", "types") if n in how}
    return Use("MultiHeadAttention", MICROSOFT, inputs, {"num_heads": H, **how}, **fields)


def multi_heads() -> Iterator[Use]:
    same = {"k": data(B, S, H * D), "v": data(B, S, H * D)}
    past: dict[str, Any] = {"past_k": data(B, H, P, D), "past_v": data(B, H, P, D)}
    yield multi_head()
    yield multi_head(symbolic=True)
    yield multi_head(v=data(B, P, 6), bias=data(2 * H * D + 6))
    yield multi_head(bias=data(3 * H * D), fixed=("bias",))
    yield multi_head(k=data(B, H, P, D), v=data(B, H, P, D))
    yield multi_head(k=data(B, H, P, D), v=data(B, H, P, D), bias=data(3 * H * D))
    yield multi_head(mask=ints(2, P))
    yield multi_head(mask=ints([1, 1, 0, 1, 0], [1, 1, 1, 1, 1]))
    yield multi_head(mask=np.tile(ints([1, 1, 0, 1, 1]), (B, S, 1)))
    yield multi_head(added=data(1, 1, S, P))
    yield multi_head(**same, unidirectional=1, scale=0.3)
    yield multi_head(**same, **past, outputs=("y", "pk", "pv"))
    yield multi_head(**same, **past, outputs=("y", "pk", "pv"), unidirectional=1, bias=data(3 * H * D))
    yield multi_head(**same, **past, outputs=("y", "pk", "pv", "qk"), types={"qk": 1})


G, E = 4, 16
"""Heads of queries where each head of keys serves two, and their size."""


def grouped(*, past: int = 0, length: int = S, lengths: Array | None = None, **how: Any) -> Use:
    batch, total = how.pop("batch", B), past + length
    room = how.pop("room", past)
    inputs: dict[str, Array | None] = {
        "q": data(batch, length, G * E), "k": data(batch, length, H * E), "v": data(batch, length, H * E),
        "past_k": data(batch, H, room, E), "past_v": data(batch, H, room, E),
        "lengths": np.full(batch, total - 1, np.int32) if lengths is None else lengths,
        "total": np.array(total, np.int32), "cos": None, "sin": None, "places": None, "added": None, "sink": None,
    }  # fmt: skip
    if how.pop("tables", False):
        angles = np.arange(16)[:, None] / np.arange(1.0, 9.0)
        inputs |= {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}
    if not past:
        inputs |= {"past_k": None, "past_v": None}
    inputs |= {n: how.pop(n) for n in ("q", "k", "v", "places", "added", "sink") if n in how}
    fields = {n: how.pop(n) for n in ("outputs", "symbolic") if n in how}
    return Use(
        "GroupQueryAttention", MICROSOFT, inputs, {"num_heads": G, "kv_num_heads": H, **how},
        **{"outputs": ("y", "pk", "pv"), **fields},
    )  # fmt: skip


def grouped_ones() -> Iterator[Use]:
    yield grouped()
    yield grouped(past=P, length=1)
    yield grouped(past=P, length=1, symbolic=True)
    yield grouped(past=P, batch=1)
    yield grouped(past=P, batch=1, room=P + S + 2)
    yield grouped(past=P, length=1, tables=True, do_rotary=1)
    yield grouped(past=P, length=1, tables=True, do_rotary=1, rotary_interleaved=1)
    yield grouped(tables=True, do_rotary=1)
    yield grouped(past=P, length=1, lengths=ints(3, 5), tables=True, do_rotary=1)
    yield grouped(past=P, length=1, local_window_size=3)
    yield grouped(length=6, local_window_size=2)
    yield grouped(past=P, batch=1, softcap=3.0)
    yield grouped(past=P, batch=1, scale=0.4)
    yield grouped(past=P, batch=1, smooth_softmax=1)
    yield grouped(past=P, batch=1, sink=data(G))
    yield grouped(past=P, batch=1, added=data(1, 1, S, P + S))
    yield grouped(q=data(B, S, (G + 2 * H) * E), k=None, v=None)
    yield grouped(causal=0)


def rotations() -> Iterator[Use]:
    angles = np.arange(16)[:, None] / np.array([1.0, 7.0])[None]
    tables = {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}
    places = np.array([[3, 4, 5], [0, 1, 2]], np.int64)
    flat, apart = data(B, S, H * D), data(B, H, S, D)
    for x in (flat, apart):
        yield Use("RotaryEmbedding", MICROSOFT, {"x": x, "places": places, **tables})
        yield Use("RotaryEmbedding", MICROSOFT, {"x": x, "places": places, **tables}, {"interleaved": 1})
        yield Use("RotaryEmbedding", MICROSOFT, {"x": x, "places": np.array([2], np.int64), **tables})
    part = {"num_heads": H, "rotary_embedding_dim": 4}
    yield Use("RotaryEmbedding", MICROSOFT, {"x": data(B, S, H * 6), "places": places, **tables}, part)


def quantized() -> Iterator[Use]:
    rng = np.random.default_rng(1)
    inputs: dict[str, Array | None] = {
        "x": rng.integers(0, 255, (B, S, 6)).astype(np.uint8),
        "w": rng.integers(-127, 127, (6, 3 * H * D)).astype(np.int8),
        "b": data(3 * H * D),
        "x_scale": np.array(0.02, np.float32),
        "w_scale": np.array(0.03, np.float32),
        "mask": ints(2, 3),
        "x_zero": np.array(120, np.uint8),
        "w_zero": np.array(3, np.int8),
        "past": None,
    }
    fixed = ("w", "b", "x_scale", "w_scale", "x_zero", "w_zero")
    yield Use("QAttention", MICROSOFT, inputs, {"num_heads": H}, fixed=fixed, loose=1e-4)
    columns: dict[str, Array | None] = {
        "w_scale": rng.random(3 * H * D).astype(np.float32) / 50,
        "w_zero": np.zeros(3 * H * D, np.int8),
    }
    yield Use(
        "QAttention",
        MICROSOFT,
        inputs | columns | {"mask": None},
        {"num_heads": H, "unidirectional": 1},
        fixed=fixed,
        loose=1e-4,
    )
    past: dict[str, Array | None] = {"past": data(2, B, H, P, D), "mask": None}
    yield Use("QAttention", MICROSOFT, inputs | past, {"num_heads": H}, ("y", "present"), fixed=fixed, loose=1e-4)


CASES = [*attentions(), *multi_heads(), *grouped_ones(), *rotations(), *quantized()]


@pytest.mark.parametrize("use", CASES, ids=[f"{u.op}-{i}" for i, u in enumerate(CASES)])
def test_attention_is_what_onnxruntime_computes(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


def test_packed_heads_are_the_same_as_separate_ones(tmp_path: Path) -> None:
    """onnxruntime computes packed ones on other devices only."""
    k, v = data(B, P, H, D), data(B, P, H, D) + 1
    (wanted,) = (
        Reference(multi_head(k=k.reshape(B, P, -1), v=v.reshape(B, P, -1)).save(tmp_path))
        .run({"q": data(B, S, H * D), "k": k.reshape(B, P, -1), "v": v.reshape(B, P, -1)})
        .values()
    )
    compare(multi_head(k=np.stack([k, v], 3), v=None), [wanted], tmp_path)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (attention(do_rotary=1), "no tables of angles"),
        (attention(past_present_share_buffer=1), "share a buffer"),
        (attention(mask=ints(1, 2, 3, 4, 5, 6, 7, 8)), "is not known"),
        (grouped(k_quant_type="PER_TENSOR"), "its cache is quantised"),
        (grouped(sliding_window_cache=1), "its cache is a window"),
    ],
)
def test_what_cannot_be_translated_says_why(use: Use, why: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        use.graph(tmp_path)
