"""ONNX's counting of n-grams, on numbers: OpenVINO does not compare text."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Strings
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType, Ints

_TO_THE_END = 2**31 - 1
_MOST_SKIPPED = 256
"""Each number of items between two is another search."""
_LARGEST_OUTPUT = 1 << 20


@onnx.op("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    build: Build, x: Value, *, max_gram_length: int, max_skip_count: int, min_gram_length: int, mode: str,
    ngram_counts: Ints, ngram_indexes: Ints, pool_int64s: Ints | None = None, pool_strings: Strings | None = None,
    weights: Floats | None = None,
) -> Value:  # fmt: skip
    """Each n-gram of the pool is looked for at each place of a row, its items 1 to ``max_skip_count + 1`` apart."""
    if mode not in {"TF", "IDF", "TFIDF"}:
        raise ValueError(f"mode is {mode!r}, none of TF, IDF, TFIDF")
    if pool_int64s is None:
        raise build.refuse("its pool is of text, which the runtime cannot compare")
    if not 0 <= max_skip_count <= _MOST_SKIPPED:
        raise ValueError(f"max_skip_count is {max_skip_count}, 0 to {_MOST_SKIPPED} expected")
    rank = build.rank(x)
    rows = build(ops.Unsqueeze(), x, build.ints(0)) if rank == 1 else x
    counts = []
    for grams in _pools(pool_int64s, ngram_counts):
        length = grams.shape[1]
        if not min_gram_length <= length <= max_gram_length:
            counts.append(_absent(build, rows, len(grams)))
            continue
        distances = range(1, 2 if length == 1 else max_skip_count + 2)
        apart = [_found(build, rows, grams, distance) for distance in distances]
        counts.append(reduce(lambda a, b: build(ops.Add(), a, b), apart))
    found = build(ops.Concat(1), *counts)
    if mode == "IDF":
        found = build(ops.Minimum(), found, number(build, 1, found))
    if mode != "TF" and weights:
        found = build(ops.Multiply(), found, build.const(np.array(weights, np.float32)))
    y = _in_order(build, build(ops.Concat(1), found, _absent(build, rows, 1)), ngram_indexes)
    return build(ops.Squeeze(), y, build.ints(0)) if rank == 1 else y


def _pools(pool: Ints, starts: Ints) -> list[Array]:
    """The n-grams of length 1, 2, … of a pool, a row each."""
    pools = []
    for length, (start, end) in enumerate(pairwise((*starts, len(pool))), 1):
        if not 0 <= start <= end <= len(pool) or (end - start) % length:
            raise ValueError(f"the n-grams of length {length} lie at {start} to {end} in a pool of {len(pool)}")
        pools.append(np.array(pool[start:end], np.int64).reshape(-1, length))
    return [grams for grams in pools if len(grams)]


def _found(build: Build, rows: Value, grams: Array, distance: int) -> Value:
    """How often each n-gram is in each row, its items so far apart."""
    length = grams.shape[1]
    one = build.ints(1)
    same = []
    for i, items in enumerate(grams.T):
        after = (length - 1 - i) * distance
        end = build.ints(-after if after else _TO_THE_END)
        there = build(ops.Slice(), rows, build.ints(i * distance), end, one, one)
        known = build.const(items.astype(rows.fact.dtype.numpy))
        same.append(build(ops.Equal(), build(ops.Unsqueeze(), there, build.ints(2)), known))
    hits = build(ops.Convert(ElementType.f32), reduce(lambda a, b: build(ops.LogicalAnd(), a, b), same))
    return build(ops.ReduceSum(keep_dims=False), hits, one)


def _absent(build: Build, rows: Value, count: int) -> Value:
    """Zero for each of so many n-grams in each row."""
    height = build(ops.Gather(), build(ops.ShapeOf(), rows), build.ints(0), build.scalar(0))
    return build(ops.Broadcast(), build.scalar(0, ElementType.f32), build(ops.Concat(0), height, build.ints(count)))


def _in_order(build: Build, counts: Value, places: Ints) -> Value:
    """The counts at their places in the output; the last one, a zero, where no n-gram counts."""
    if len(set(places)) != len(places):
        raise build.refuse("some of its n-grams are counted together")
    if not all(0 <= place < _LARGEST_OUTPUT for place in places):
        raise ValueError(f"ngram_indexes of {min(places)} to {max(places)}, 0 to {_LARGEST_OUTPUT - 1} expected")
    last = len(places)
    if (counts.fact.shape or ())[1] != last + 1:
        raise ValueError(f"{last} ngram_indexes are given for a pool of {counts.fact}")
    sources = dict(zip(places, range(last), strict=True))
    chosen = build.ints(*(sources.get(i, last) for i in range(max(places, default=-1) + 1)))
    return build(ops.Gather(), counts, chosen, build.scalar(1))
