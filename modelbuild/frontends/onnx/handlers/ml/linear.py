"""``ai.onnx.ml``: linear models and support vector machines."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Strings
from modelbuild.frontends.onnx.coupling import coupled
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.scores import (
    ML,
    as_real,
    best,
    both,
    features,
    labelled,
    opposite,
    real_list,
    rest,
    transformed,
)
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, Ints


@onnx.op("LinearRegressor", domain=ML)
def linear_regressor(
    build: Build, x: Value, *,
    coefficients: Floats = (), intercepts: Floats = (), post_transform: str = "NONE", targets: int = 1,
) -> Value:  # fmt: skip
    return transformed(build, _linear(build, x, coefficients, intercepts, targets), post_transform)


@onnx.op("LinearClassifier", domain=ML)
def linear_classifier(
    build: Build, x: Value, *,
    classlabels_ints: Ints = (), classlabels_strings: Strings = (), coefficients: Floats, intercepts: Floats = (),
    multi_class: int = 0, post_transform: str = "NONE",
) -> tuple[Value, Value]:  # fmt: skip
    """One score for two classes is that of the second: it is chosen where that is positive."""
    del multi_class
    classes = len(classlabels_ints or classlabels_strings)
    scored = len(intercepts) or classes
    scores = _linear(build, x, coefficients, intercepts, scored)
    if scored == 1:
        place = _positive(build, scores)
        ints = classlabels_ints if classes == 2 or classlabels_strings else (0, 1)
        strings = classlabels_strings if classes == 2 else ()
        if classes != 2 and classlabels_strings:
            raise build.refuse(f"it has one score for {classes} classes")
        return labelled(build, place, ints, strings), _two_scores(build, scores, post_transform)
    place = best(build, scores)
    return labelled(build, place, classlabels_ints, classlabels_strings), transformed(build, scores, post_transform)


def _positive(build: Build, score: Value) -> Value:
    """1 where a row's only score is positive, else 0."""
    flat = build(ops.Squeeze(), score, build.ints(1))
    return build(ops.Select(), build(ops.Greater(), flat, number(build, 0, flat)), build.scalar(1), build.scalar(0))


def _two_scores(build: Build, score: Value, post_transform: str) -> Value:
    transform = transformed(build, score, post_transform)
    return both(build, transform, rest(build, transform))


def _linear(build: Build, x: Value, coefficients: Floats, intercepts: Floats, rows: int) -> Value:
    if not rows or len(coefficients) % rows:
        raise ValueError(f"{len(coefficients)} coefficients for {rows} scores")
    weights = build.const(np.array(coefficients, np.float32).reshape(rows, -1))
    y = build(ops.MatMul(transpose_b=True), as_real(build, features(build, x)), weights)
    return build(ops.Add(), y, real_list(build, intercepts)) if intercepts else y


# --- support vector machines -----------------------------------------------------------------------------------------


@onnx.op("SVMRegressor", domain=ML)
def svm_regressor(
    build: Build, x: Value, *,
    coefficients: Floats = (), kernel_params: Floats = (), kernel_type: str = "LINEAR", n_supports: int = 0,
    one_class: int = 0, post_transform: str = "NONE", rho: Floats = (), support_vectors: Floats = (),
) -> Value:  # fmt: skip
    x = as_real(build, features(build, x))
    weights = np.array(coefficients, np.float32)
    if n_supports:
        near = _kernel(build, x, _rows(support_vectors, n_supports), kernel_type, kernel_params)
        y = build(ops.MatMul(transpose_b=True), near, build.const(weights.reshape(1, -1)))
    else:
        y = _kernel(build, x, weights.reshape(1, -1), kernel_type, kernel_params)
    y = build(ops.Add(), y, real_list(build, rho[:1]))
    if one_class:
        inside = build(ops.Greater(), y, number(build, 0, y))
        return build(ops.Select(), inside, number(build, 1, y), number(build, -1, y))
    return transformed(build, y, post_transform)


@onnx.op("SVMClassifier", domain=ML)
def svm_classifier(
    build: Build, x: Value, *,
    classlabels_ints: Ints = (), classlabels_strings: Strings = (), coefficients: Floats = (),
    kernel_params: Floats = (), kernel_type: str = "LINEAR", post_transform: str = "NONE", prob_a: Floats = (),
    prob_b: Floats = (), rho: Floats = (), support_vectors: Floats = (), vectors_per_class: Ints = (),
) -> tuple[Value, Value]:  # fmt: skip
    """Without support vectors each class has a score; with them each pair of classes, and most pairs won win."""
    x = as_real(build, features(build, x))
    classes = len(classlabels_ints or classlabels_strings)
    if not vectors_per_class:
        weights = np.array(coefficients, np.float32).reshape(classes, -1)
        scores = build(ops.Add(), _kernel(build, x, weights, kernel_type, kernel_params), real_list(build, rho[:1]))
        label = labelled(build, best(build, scores), classlabels_ints, classlabels_strings)
        return label, transformed(build, scores, post_transform)
    if len(vectors_per_class) != classes:
        raise ValueError(f"{len(vectors_per_class)} numbers of support vectors for {classes} classes")
    near = _kernel(build, x, _rows(support_vectors, sum(vectors_per_class)), kernel_type, kernel_params)
    duels = build(ops.MatMul(), near, build.const(_duels(np.array(coefficients, np.float32), vectors_per_class)))
    duels = build(ops.Add(), duels, real_list(build, rho))
    won = build(ops.MatMul(), _signs(build, duels), build.const(_winners(classes)))
    label = labelled(build, best(build, won), classlabels_ints, classlabels_strings)
    if prob_a:
        return label, transformed(build, _chances(build, duels, classes, prob_a, prob_b), post_transform)
    scores = transformed(build, duels, post_transform)
    return label, both(build, scores, opposite(build, scores)) if classes == 2 else scores


def _rows(numbers: Floats, count: int) -> Array:
    if not count or len(numbers) % count:
        raise ValueError(f"{len(numbers)} numbers are no {count} support vectors")
    return np.array(numbers, np.float32).reshape(count, -1)


def _kernel(build: Build, x: Value, rows: Array, kind: str, parameters: Floats) -> Value:
    """How near each row of ``x`` is to each of ``rows``."""
    gamma, coef0, degree = (*parameters, 0.0, 0.0, 0.0)[:3]
    product = build(ops.MatMul(transpose_b=True), x, build.const(rows))
    match kind:
        case "LINEAR":
            return product
        case "POLY":
            return build(ops.Power(), _bent(build, product, gamma, coef0), number(build, degree, product))
        case "SIGMOID":
            return build(ops.Tanh(), _bent(build, product, gamma, coef0))
        case "RBF":
            apart = build(ops.SquaredDifference(), build(ops.Unsqueeze(), x, build.ints(1)), build.const(rows))
            distance = build(ops.ReduceSum(keep_dims=False), apart, build.ints(2))
            return build(ops.Exp(), build(ops.Multiply(), distance, number(build, -gamma, distance)))
    raise ValueError(f"the kernel {kind!r} is none of LINEAR, POLY, RBF and SIGMOID")


def _bent(build: Build, product: Value, gamma: float, coef0: float) -> Value:
    stretched = build(ops.Multiply(), product, number(build, gamma, product))
    return build(ops.Add(), stretched, number(build, coef0, product))


def _duels(coefficients: Array, counts: Ints) -> Array:
    """``[vectors, pairs]``: what each support vector says in each duel of two classes.

    Row ``r`` of the coefficients is what a vector says to the ``r``-th of the other classes.
    """
    classes, total = len(counts), sum(counts)
    table = coefficients.reshape(classes - 1, total)
    ends = np.cumsum(counts)
    of = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    made = np.zeros((total, classes * (classes - 1) // 2), np.float32)
    for pair, (i, j) in enumerate(combinations(range(classes), 2)):
        made[of[i], pair] = table[j - 1, of[i]]
        made[of[j], pair] = table[i, of[j]]
    return made


def _signs(build: Build, duels: Value) -> Value:
    """For each duel ``[first won, second won]``, those of the first ones ahead of those of the second."""
    first = build(ops.Convert(duels.fact.dtype), build(ops.Greater(), duels, number(build, 0, duels)))
    return build(ops.Concat(1), first, rest(build, first))


def _winners(classes: int) -> Array:
    """``[2 * pairs, classes]``: which class has won."""
    pairs = list(combinations(range(classes), 2))
    made = np.zeros((2 * len(pairs), classes), np.float32)
    for pair, (i, j) in enumerate(pairs):
        made[pair, i] = made[len(pairs) + pair, j] = 1
    return made


def _chances(build: Build, duels: Value, classes: int, a: Floats, b: Floats) -> Value:
    """How probable each class is. For two there is a formula, where libsvm comes near to what it gives."""
    raised = build(ops.Add(), build(ops.Multiply(), duels, real_list(build, a)), real_list(build, b))
    firsts = build(ops.Clamp(1e-7, 1 - 1e-7), build(ops.Sigmoid(), opposite(build, raised)))
    return coupled(build, firsts, classes) if classes > 2 else both(build, rest(build, firsts), firsts)
