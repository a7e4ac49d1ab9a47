"""Probabilities of classes from those of each class against each other, as libsvm finds them.

Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling" (2004), second method: the
``p`` for which the sum of all ``(r[j, i] * p[i] - r[i, j] * p[j]) ** 2`` is least, ``r[i, j]`` being how probable ``i``
is where only ``i`` and ``j`` are possible. Rounds move one ``p[i]`` after the other, until the gradient is nearly even.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.shapes import extent_of, joined, number
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Parameter
from modelbuild.tensor.dtype import ElementType

ROUNDS = 100
"""How many rounds there are at most."""

UNEVEN = 0.005
"""How far an element of the gradient may be from what all should be, divided by the number of classes."""


def coupled(build: Build, firsts: Value, classes: int) -> Value:
    """``[row, class]`` from how probable the first of each pair of classes is, ``[row, pair]``."""
    form = _quadratic_form(build, firsts, classes)
    shape = joined(build, extent_of(build, firsts, 0), classes)
    even = build(ops.Broadcast(), number(build, 1 / classes, firsts), shape)
    given, matrix = (_parameter(build, value) for value in (even, form))
    found, moved = _round(build, given, matrix, classes)
    loop = ops.Loop(
        Graph([given, matrix], [moved, found], name=build.layer), (ops.Merged(2, 1), ops.Invariant(3)), (ops.Last(1),)
    )
    return build(loop, build.scalar(ROUNDS), build.scalar(True, ElementType.boolean), even, form)


def _parameter(build: Build, like: Value) -> Value:
    return Node(Parameter(like.fact.dtype, like.fact.shape), (), f"{build.layer}/Parameter", build.origin).output


def _quadratic_form(build: Build, firsts: Value, classes: int) -> Value:
    """``[row, class, class]``: the sums of ``r[j, i] ** 2`` on the diagonal, ``-r[j, i] * r[i, j]`` beside it."""
    pairs = list(combinations(range(classes), 2))
    of_pair = np.zeros((classes, classes), np.int64)
    for n, (i, j) in enumerate(pairs):
        of_pair[i, j], of_pair[j, i] = n, len(pairs) + n
    both = build(ops.Concat(1), firsts, build(ops.Subtract(), number(build, 1, firsts), firsts))
    ahead, behind = (build(ops.Gather(), both, build.const(where), build.scalar(1)) for where in (of_pair, of_pair.T))
    diagonal = build.const(np.eye(classes, dtype=bool))
    others = build(ops.Select(), diagonal, number(build, 0, behind), build(ops.Multiply(), behind, behind))
    beside = build(ops.Negative(), build(ops.Multiply(), ahead, behind))
    return build(ops.Select(), diagonal, build(ops.ReduceSum(keep_dims=True), others, build.ints(2)), beside)


def _round(build: Build, p: Value, form: Value, classes: int) -> tuple[Value, Value]:
    """``p`` after a round, and whether anything moved; the rows that are nearly even stay."""
    last = build.ints(-1)
    gradient = build(ops.Squeeze(), build(ops.MatMul(), form, build(ops.Unsqueeze(), p, last)), last)
    level = build(ops.ReduceSum(keep_dims=True), build(ops.Multiply(), p, gradient), last)
    away = build(ops.Abs(), build(ops.Subtract(), gradient, level))
    worst = build(ops.ReduceMax(keep_dims=True), away, last)
    uneven = build(ops.GreaterEqual(), worst, number(build, UNEVEN / classes, p))
    rows = build.node(ops.Split(classes), form, build.scalar(1)).outputs
    found = p
    for i, row in enumerate(rows):
        form_i = build(ops.Squeeze(), row, build.ints(1))
        own, slope = (build(ops.Gather(), v, build.ints(i), build.scalar(1)) for v in (form_i, gradient))
        step = build(ops.Divide(), build(ops.Subtract(), level, slope), own)
        whole = build(ops.Add(), step, number(build, 1, step))
        unit = build.const(np.eye(classes, dtype=np.float32)[i])
        rise = build(ops.Add(), build(ops.Multiply(), step, own), build(ops.Add(), slope, slope))
        level = build(ops.Divide(), build(ops.Add(), level, build(ops.Multiply(), step, rise)), whole)
        level = build(ops.Divide(), level, whole)
        gradient = build(ops.Divide(), build(ops.Add(), gradient, build(ops.Multiply(), step, form_i)), whole)
        found = build(ops.Divide(), build(ops.Add(), found, build(ops.Multiply(), step, unit)), whole)
    any_row = build(ops.ReduceLogicalOr(keep_dims=False), uneven, build.ints(0, 1))
    return build(ops.Select(), uneven, found, p), any_row
