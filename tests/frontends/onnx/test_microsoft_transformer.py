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


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("activation", [0, 1])
def test_groups_of_channels_are_normalised(tmp_path: Path, *, activation: int, last: bool) -> None:
    x, skip, bias, gamma, beta = data(2, 6, 3, 4), data(2, 6), data(6), data(6), data(6) + 1
    total = x + skip[:, :, None, None] + bias[:, None, None]
    groups = total.reshape(2, 3, -1).astype(np.float64)
    flat = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-3)
    wanted = flat.reshape(x.shape) * gamma[:, None, None] + beta[:, None, None]
    if activation:
        wanted = wanted / (1 + np.exp(-wanted))
    wanted = wanted.astype(np.float32)
    if last:
        x, total, wanted = (v.transpose(0, 2, 3, 1).copy() for v in (x, total, wanted))
    attributes = {"activation": activation, "channels_last": int(last), "epsilon": 1e-3, "groups": 3}
    given = {"x": x, "gamma": gamma, "beta": beta, "skip": skip, "bias": bias}
    compare(Use("SkipGroupNorm", MICROSOFT, given, attributes, ("y", "sum")), [wanted, total], tmp_path)


X = data(3, 4)


@pytest.mark.parametrize(
    "use",
    [
        Use(
            "Pad",
            MICROSOFT,
            {"x": X, "pads": np.array([1, 0, 0, 2], np.int64), "value": data(1)},
            fixed=("pads", "value"),
        ),
        Use(
            "Pad", MICROSOFT, {"x": X, "pads": np.array([[1, 0, 0, 2]], np.int64)}, {"mode": "reflect"}, fixed=("pads",)
        ),
        Use("Range", MICROSOFT, {"start": np.array([1], np.int64), "limit": np.array(9, np.int64)}),
        Use(
            "Range",
            MICROSOFT,
            {"a": np.ones(1, np.float32), "b": np.full(1, -2, np.float32), "c": np.full(1, -0.5, np.float32)},
        ),
        Use("Trilu", MICROSOFT, {"x": X, "k": np.array(1, np.int64)}, {"upper": 0}),
        Use("GatherND", MICROSOFT, {"x": X, "at": np.array([[0, 1], [2, -1]], np.int64)}),
        Use("ExpandDims", MICROSOFT, {"x": X, "axis": np.array([-1], np.int32)}, fixed=("axis",)),
        Use("TransposeMatMul", MICROSOFT, {"a": X, "b": data(3, 5)}, {"transA": 1, "alpha": 0.5}),
    ],
    ids=lambda use: use.op,
)
def test_older_operators_mean_what_the_standard_ones_do(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)
