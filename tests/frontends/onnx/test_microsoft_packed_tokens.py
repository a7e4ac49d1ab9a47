"""Batches without padding. onnxruntime's CPU has no kernels for them: the padded batch is computed with numpy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from answers import MICROSOFT, Use, compare

from modelbuild.tensor.dtype import Array

BATCH, LENGTH, HEADS, SIZE = 3, 4, 2, 5
HIDDEN = HEADS * SIZE
COUNTS = np.array([1, 2, 4], np.int32)
REAL = np.arange(LENGTH) < COUNTS[:, None]
OFFSETS = np.concatenate([np.flatnonzero(REAL), np.flatnonzero(~REAL)]).reshape(BATCH, LENGTH).astype(np.int32)
ENDS = np.concatenate([[0], np.cumsum(COUNTS)]).astype(np.int32)
TOKENS = int(COUNTS.sum())


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def attended(q: Array, k: Array, v: Array, bias: Array, scale: float) -> Array:
    """Sequence by sequence, head by head."""
    made = np.zeros((TOKENS, v.shape[1]), np.float32)
    for sequence, (begin, end) in enumerate(pairwise(ENDS)):
        for head in range(HEADS):
            columns = slice(head * v.shape[1] // HEADS, (head + 1) * v.shape[1] // HEADS)
            keys = slice(head * SIZE, (head + 1) * SIZE)
            count = end - begin
            scores = q[begin:end, keys] @ k[begin:end, keys].T * scale + bias[sequence, head, :count, :count]
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            made[begin:end, columns] = weights / weights.sum(-1, keepdims=True) @ v[begin:end, columns]
    return made


@pytest.mark.parametrize("symbolic", [False, True])
def test_padding_is_removed_and_restored(tmp_path: Path, *, symbolic: bool) -> None:
    x = data(BATCH, LENGTH, HIDDEN)
    use = Use(
        "RemovePadding", MICROSOFT, {"x": x, "counts": COUNTS}, {}, ("y", "offsets", "ends", "longest"),
        symbolic=symbolic,
    )  # fmt: skip
    compare(use, [x[REAL], OFFSETS, ENDS, np.array([4], np.int32)], tmp_path)
    use = Use("RestorePadding", MICROSOFT, {"x": x[REAL], "offsets": OFFSETS}, symbolic=symbolic)
    compare(use, [np.where(REAL[..., None], x, 0)], tmp_path)


BIAS = data(BATCH, HEADS, LENGTH, LENGTH)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("sizes", [(), (HIDDEN, HIDDEN, 6)])
def test_attention(tmp_path: Path, sizes: tuple[int, ...], *, biased: bool, symbolic: bool) -> None:
    width = sum(sizes) or 3 * HIDDEN
    given = {
        "x": data(TOKENS, 7), "w": data(7, width), "b": data(width), "offsets": OFFSETS, "ends": ENDS,
        "bias": BIAS if biased else None,
    }  # fmt: skip
    projected = data(TOKENS, 7) @ data(7, width) + data(width)
    q, k, v = np.split(projected, [HIDDEN, 2 * HIDDEN], -1)
    attributes = {"num_heads": HEADS, **({"qkv_hidden_sizes": sizes} if sizes else {})}
    wanted = attended(q, k, v, BIAS * biased, SIZE**-0.5)
    use = Use("PackedAttention", MICROSOFT, given, attributes, fixed=("w", "b"), symbolic=symbolic, loose=1e-4)
    compare(use, [wanted], tmp_path)


@pytest.mark.parametrize("together", [False, True])
def test_attention_of_heads(tmp_path: Path, *, together: bool) -> None:
    parts = [data(TOKENS, HIDDEN) + i for i in range(3)]
    bias = data(3 * HIDDEN)
    given = {"q": parts[0], "k": parts[1], "v": parts[2], "b": bias, "offsets": OFFSETS, "ends": ENDS, "bias": BIAS}
    if together:
        heads = np.stack([p.reshape(TOKENS, HEADS, SIZE) for p in parts], 2)
        given = {**given, "q": heads, "k": None, "v": None}  # type: ignore[dict-item]
    q, k, v = (p + more for p, more in zip(parts, np.split(bias, 3), strict=True))
    attributes = {"num_heads": HEADS, "scale": 0.3}
    use = Use("PackedMultiHeadAttention", MICROSOFT, given, attributes, loose=1e-4)
    compare(use, [attended(q, k, v, BIAS, 0.3)], tmp_path)
