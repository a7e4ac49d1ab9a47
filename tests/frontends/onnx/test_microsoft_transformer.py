"""What is fused around attention: compared with onnxruntime, or with numpy where it computes on other devices only."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.tensor.dtype import Array


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


WORDS = {"ids": np.array([[3, 1, 0], [4, 4, 2]], np.int32), "segments": np.array([[0, 1, 1], [0, 0, 1]], np.int32)}
TABLES = {"word": data(5, 8), "place": data(6, 8), "segment": data(2, 8), "gamma": data(8), "beta": data(8)}
MASK = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
PLACES = np.array([[2, 1, 0], [5, 4, 3]], np.int32)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("absent", [(), ("mask",), ("places",), ("segments", "segment"), ("mask", "places")])
def test_embeddings_are_summed_and_normalised(absent: tuple[str, ...], tmp_path: Path, *, symbolic: bool) -> None:
    inputs = {
        "ids": WORDS["ids"], "segments": WORDS["segments"], "word": TABLES["word"], "place": TABLES["place"],
        "segment": TABLES["segment"], "gamma": TABLES["gamma"], "beta": TABLES["beta"], "mask": MASK, "places": PLACES,
    }  # fmt: skip
    given = {n: None if n in absent else a for n, a in inputs.items()}
    fixed = [n for n in TABLES if n not in absent]
    use = Use(
        "EmbedLayerNormalization", MICROSOFT, given, {"epsilon": 1e-6}, ("y", "words", "sum"), fixed, symbolic=symbolic
    )
    check(use, tmp_path)


def test_bias_and_residual_are_added(tmp_path: Path) -> None:
    x, bias, skip = data(2, 3, 4), data(4), data(2, 3, 4) + 1
    compare(Use("BiasAdd", MICROSOFT, {"x": x, "bias": bias, "skip": skip}), [x + bias + skip], tmp_path)


def test_half_of_the_channels_gate_the_others(tmp_path: Path) -> None:
    x, bias = data(2, 3, 8), data(8)
    left, right = np.split((x + bias).astype(np.float64), 2, -1)
    erf = np.vectorize(math.erf)(right / math.sqrt(2))
    wanted = (left * right * (1 + erf) / 2).astype(np.float32)
    compare(Use("BiasSplitGelu", MICROSOFT, {"x": x, "bias": bias}), [wanted], tmp_path)


def bucket(behind: int, buckets: int, farthest: int, *, both: bool) -> int:
    """T5's: the first half of the buckets one by one, the others by the logarithm; those ahead have their own half."""
    first = 0
    if both:
        buckets //= 2
        first = buckets if behind < 0 else 0
        behind = abs(behind)
    behind, near = max(behind, 0), buckets // 2
    if behind < near:
        return first + behind
    far = near + int(math.log(behind / near) / math.log(farthest / near) * (buckets - near))
    return first + min(far, buckets - 1)


@pytest.mark.parametrize("both", [False, True])
def test_distances_have_a_bias(tmp_path: Path, *, both: bool) -> None:
    buckets, heads, length = 8, 3, 24
    table = data(buckets, heads)
    index = [[bucket(q - k, buckets, 20, both=both) for k in range(length)] for q in range(length)]
    wanted = table.reshape(heads, buckets)[:, index][None]
    lengths = {n: np.array(length, np.int64) for n in ("queries", "keys")}
    attributes = {"is_bidirectional": int(both), "max_distance": 20}
    compare(Use("RelativePositionBias", MICROSOFT, {"table": table, **lengths}, attributes), [wanted], tmp_path)


def test_a_relative_bias_is_gated(tmp_path: Path) -> None:
    batch, length, heads, size, inner = 2, 3, 2, 4, 8
    given = {
        "q": data(batch, length, heads * size), "bias": data(heads * size), "relative": data(1, heads, length, length),
        "weight": data(size, inner), "b": data(inner), "eco": data(1, heads, 1, 1),
    }  # fmt: skip
    q = (given["q"] + given["bias"]).reshape(batch, length, heads, size).transpose(0, 2, 1, 3)
    gates = (q @ given["weight"] + given["b"]).reshape(batch, heads, length, 2, inner // 2).sum(-1)
    update, reset = np.split(1 / (1 + np.exp(-gates)), 2, -1)
    wanted = (update * (reset * given["eco"] - 1) + 2) * given["relative"]
    compare(Use("GatedRelativePositionBias", MICROSOFT, given, {"num_heads": heads}), [wanted], tmp_path)
