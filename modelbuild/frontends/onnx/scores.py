"""Scores and labels of classical models: what the operators of ``ai.onnx.ml`` do with them at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Strings
from modelbuild.frontends.onnx.shapes import converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType, Ints

ML = "ai.onnx.ml"
"""The domain of these operators."""

_NEARLY_ZERO = 1e-7


def as_real(build: Build, x: Value) -> Value:
    """What is computed with: single precision, whatever comes in."""
    return converted(build, x, ElementType.f32)


def real_list(build: Build, numbers: Sequence[float] | Array) -> Value:
    return build.const(np.array(numbers, np.float32))


def features(build: Build, x: Value) -> Value:
    """Rows of features; a list is one row."""
    return build(ops.Unsqueeze(), x, build.ints(0)) if build.rank(x) == 1 else x


def transformed(build: Build, scores: Value, how: str) -> Value:
    """Scores, a row each, after the transform of this name."""
    match how:
        case "NONE":
            return scores
        case "SOFTMAX":
            return build(ops.Softmax(-1), scores)
        case "SOFTMAX_ZERO":
            return _softmax_of_some(build, scores)
        case "LOGISTIC":
            return build(ops.Sigmoid(), scores)
        case "PROBIT":
            return _probit(build, scores)
    raise ValueError(f"the transform {how!r} is none of NONE, SOFTMAX, SOFTMAX_ZERO, LOGISTIC and PROBIT")


def _softmax_of_some(build: Build, scores: Value) -> Value:
    """Softmax whose sum leaves out the scores that are zero; these stay."""
    last = build.ints(-1)
    top = build(ops.ReduceMax(keep_dims=True), scores, last)
    away = build(ops.Greater(), build(ops.Abs(), scores), number(build, _NEARLY_ZERO, scores))
    risen = build(ops.Exp(), build(ops.Subtract(), scores, top))
    counted = build(ops.Select(), away, risen, number(build, 0, scores))
    total = build(ops.ReduceSum(keep_dims=True), counted, last)
    still = build(ops.Multiply(), scores, build(ops.Exp(), build(ops.Negative(), top)))
    return build(ops.Divide(), build(ops.Select(), away, risen, still), total)


def _probit(build: Build, scores: Value) -> Value:
    """The quantile of the normal distribution, by Winitzki's approximation of the inverse of erf, as onnxruntime."""
    bend = 0.147
    x = build(ops.Subtract(), build(ops.Multiply(), scores, number(build, 2, scores)), number(build, 1, scores))
    one = number(build, 1, x)
    product = build(ops.Multiply(), build(ops.Subtract(), one, x), build(ops.Add(), one, x))
    log = build(ops.Log(), product)
    half = build(ops.Multiply(), log, number(build, 0.5, x))
    middle = build(ops.Add(), half, number(build, 2 / (math.pi * bend), x))
    under = build(ops.Multiply(), log, number(build, 1 / bend, x))
    root = build(ops.Sqrt(), build(ops.Subtract(), build(ops.Multiply(), middle, middle), under))
    inverse = build(ops.Sqrt(), build(ops.Subtract(), root, middle))
    signed = build(ops.Multiply(), build(ops.Sign(), x), inverse)
    return build(ops.Multiply(), signed, number(build, math.sqrt(2), x))


def both(build: Build, score: Value, first: Value) -> Value:
    """``[rows, 1]`` twice as ``[rows, 2]``."""
    return build(ops.Concat(1), first, score)


def opposite(build: Build, score: Value) -> Value:
    return build(ops.Negative(), score)


def rest(build: Build, score: Value) -> Value:
    return build(ops.Subtract(), number(build, 1, score), score)


def best(build: Build, scores: Value) -> Value:
    """The place of the highest score of each row, the first of equal ones."""
    top = build.node(ops.StableTopK(1, "max", "value", ElementType.i64), scores, build.scalar(1)).outputs[1]
    return build(ops.Squeeze(), top, build.ints(1))


def labelled(build: Build, places: Value, ints: Ints, strings: Strings) -> Value:
    """The labels at some places."""
    if strings:
        return string_at(build, places, strings)
    return _at(build, np.array(ints, np.int64), places)


def string_at(build: Build, places: Value, strings: Strings) -> Value:
    """Strings at some places of a list.

    The runtime gathers numbers only, and takes strings from bytes where they follow each other: rows of bytes are
    gathered, each as long as the longest string.
    """
    encoded = [s.encode() if isinstance(s, str) else s for s in strings]
    width = max(1, *map(len, encoded))
    table = np.frombuffer(b"".join(s.ljust(width, b"\0") for s in encoded), np.uint8).reshape(-1, width)
    symbols = build(ops.Reshape(), _at(build, table, places), build.ints(-1))
    count = build(ops.ReduceProd(keep_dims=False), shape_of(build, places), build.ints(0))
    size = build(ops.Multiply(), count, build.scalar(width))
    begins = build(ops.Range(ElementType.i64), build.scalar(0), size, build.scalar(width))
    begins = build(ops.Reshape(), begins, shape_of(build, places))
    lengths = _at(build, np.array([len(s) for s in encoded], np.int64), places)
    return build(ops.StringTensorPack(), begins, build(ops.Add(), begins, lengths), symbols)


def _at(build: Build, table: Array, places: Value) -> Value:
    return build(ops.Gather(), build.const(table), places, build.scalar(0))


def place_of(build: Build, x: Value, keys: Array) -> Value:
    """Where each element of ``x`` is among the keys; how many there are for one that is none of them."""
    count = build.scalar(len(keys))
    if keys.dtype == object:
        hits = _spelled_like(build, x, [str(key).encode() for key in keys])
        numbers = build.const(np.arange(len(keys), dtype=np.int64))
        return build(ops.ReduceMin(keep_dims=False), build(ops.Select(), hits, numbers, count), build.ints(-1))
    order = np.argsort(keys, stable=True)
    known = build.const(keys[order])
    after = build(ops.Minimum(), build(ops.SearchSorted(), known, x), build.scalar(len(keys) - 1))
    found = build(ops.Equal(), build(ops.Gather(), known, after, build.scalar(0)), x)
    place = _at(build, order.astype(np.int64), after)
    place = build(ops.Select(), found, place, count)
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        place = build(ops.Select(), build(ops.IsNaN(), x), build.scalar(int(np.isnan(keys).argmax())), place)
    return place


def _spelled_like(build: Build, x: Value, keys: Sequence[bytes]) -> Value:
    """Whether each string is each of the keys, ``[…, keys]``: their bytes and their lengths are the same.

    The runtime compares numbers only.
    """
    longest, last = max(map(len, keys)), build.ints(-1)
    begins, ends, symbols = build.node(ops.StringTensorUnpack(), x).outputs
    begins, ends = (build(ops.Unsqueeze(), v, last) for v in (begins, ends))
    places = build(ops.Add(), begins, build.const(np.arange(longest, dtype=np.int32)))
    inside = build(ops.Less(), places, ends)
    none = build.scalar(0, ElementType.i32)
    octets = build(ops.Gather(), symbols, build(ops.Select(), inside, places, none), build.scalar(0))
    octets = build(ops.Select(), inside, converted(build, octets, ElementType.i32), none)
    spelled = build(ops.Concat(-1), octets, build(ops.Subtract(), ends, begins))
    table = np.array([[*key.ljust(longest, b"\0"), len(key)] for key in keys], np.int32)
    same = build(ops.Equal(), build(ops.Unsqueeze(), spelled, build.ints(-2)), build.const(table))
    return build(ops.ReduceLogicalAnd(keep_dims=False), same, last)
