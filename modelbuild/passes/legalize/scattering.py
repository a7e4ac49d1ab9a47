"""Updates that combine what meets, for releases that only overwrite.

Both forms come to one: of ``k`` updates for each of ``q`` rows, which of the row's ``n`` places each goes to. A table
[q, n, k] of what meets what makes the combination a product of matrices, or a reduction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import like
from modelbuild.rewrite import Match, Rewriter, Skip, of, rule
from modelbuild.tensor.dtype import ElementType

MOST: Final = 1 << 24
"""How many numbers may be made on the way."""

elements = of(ops.ScatterElementsReduce)
places = of(ops.ScatterNDReduce)


@dataclass(frozen=True, slots=True)
class _Rows:
    """``data`` [q, n, r], ``where`` [q, k] and ``updates`` [q, k, r]; place ``places`` is none, and meets nothing."""

    data: Value
    where: Value
    updates: Value
    places: int


@rule(elements)
def spell_scatter_elements(m: Match, g: Rewriter) -> Value | Skip:
    """ScatterElementsUpdate(x, i, u, axis) {reduction}  ->  x combined with all u whose index meets its place"""
    op, (data, where, updates, axis) = m[elements].op, m[elements].inputs
    shape, taken, along = data.fact.static_shape, where.fact.static_shape, axis.fact.ints
    if shape is None or taken is None or along is None:
        return Skip("a shape is open")
    at = along[0] % len(shape)
    if not op.use_init_val:
        return Skip("what was there takes no part")
    order = [*(i for i in range(len(shape)) if i != at), at]
    moved = [shape[i] for i in order]
    n, k, q = shape[at], taken[at], math.prod(moved[:-1])
    if why := _too_much(data, op.reduction, (q, n, k, 1)):
        return Skip(why)

    def rows(value: Value, *split: int) -> Value:
        return g(ops.Reshape(), g(ops.Transpose(), value, g.ints(order)), g.ints(split))

    every = [k if i == at else extent for i, extent in enumerate(shape)]
    met = _filled(g, _from_zero(g, where, n), every, n)
    given = _filled(g, updates, every, 0)
    made = _combined(g, _Rows(rows(data, q, n, 1), rows(met, q, k), rows(given, q, k, 1), n), op.reduction)
    back = [order.index(i) for i in range(len(shape))]
    return g(ops.Transpose(), g(ops.Reshape(), made, g.ints(moved)), g.ints(back))


@rule(places)
def spell_scatter_nd(m: Match, g: Rewriter) -> Value | Skip:
    """ScatterNDUpdate(x, i, u) {reduction}  ->  x combined with all u whose place, as one number, is its own"""
    data, where, updates = m[places].inputs
    shape, taken = data.fact.static_shape, where.fact.static_shape
    if shape is None or taken is None:
        return Skip("a shape is open")
    depth = taken[-1]
    n, k, r = math.prod(shape[:depth]), math.prod(taken[:-1]), math.prod(shape[depth:])
    if why := _too_much(data, m[places].op.reduction, (1, n, k, r)):
        return Skip(why)
    sizes = np.array(shape[:depth], np.int64)
    strides = np.array([math.prod(shape[i + 1 : depth]) for i in range(depth)], np.int64)
    along = g(ops.FloorMod(), g(ops.Convert(ElementType.i64), where), g.constant(sizes))
    one = g(ops.ReduceSum(keep_dims=False), g(ops.Multiply(), along, g.constant(strides)), g.ints([-1]))
    rows = _Rows(
        g(ops.Reshape(), data, g.ints([1, n, r])),
        g(ops.Reshape(), one, g.ints([1, k])),
        g(ops.Reshape(), updates, g.ints([1, k, r])),
        n,
    )
    return g(ops.Reshape(), _combined(g, rows, m[places].op.reduction), g.ints(shape))


def _from_zero(g: Rewriter, where: Value, places: int) -> Value:
    """Places, of which negative ones are counted from the end."""
    return g(ops.FloorMod(), where, like(g, where, places))


def _filled(g: Rewriter, value: Value, extents: list[int], number: int) -> Value:
    """``value`` with ``number`` behind it, up to ``extents``."""
    there = value.fact.static_shape or ()
    behind = [whole - part for whole, part in zip(extents, there, strict=True)]
    if not any(behind):
        return value
    return g(ops.Pad(), value, g.ints([0] * len(behind)), g.ints(behind), like(g, value, number))


def _too_much(data: Value, reduction: str, extents: tuple[int, int, int, int]) -> str:
    """Why updates of these extents [q, n, k, r] are not combined; nothing if they are."""
    *table, width = extents
    if reduction == "mean" and not data.fact.dtype.is_real:
        return "a mean of integers is rounded"
    numbers = math.prod(table) * (1 if _is_product(data, reduction) else width)
    return f"{numbers} numbers would be made on the way, at most {MOST} are" if numbers > MOST else ""


def _is_product(data: Value, reduction: str) -> bool:
    return reduction in _SUMS and data.fact.dtype.is_real


def _combined(g: Rewriter, rows: _Rows, reduction: str) -> Value:
    """``rows.data`` with the updates: [q, n, r]. What is added up of real numbers has to be finite."""
    own = g.constant(np.arange(rows.places).reshape(-1, 1).astype(rows.where.fact.dtype.numpy))
    meets = g(ops.Equal(), g(ops.Unsqueeze(), rows.where, g.ints([1])), own)
    if _is_product(rows.data, reduction):
        hits = g(ops.Convert(rows.data.fact.dtype), meets)
        total = g(_SUMS[reduction], rows.data, g(ops.MatMul(), hits, rows.updates))
        if reduction != "mean":
            return total
        count = g(ops.ReduceSum(keep_dims=True), hits, g.ints([2]))
        return g(ops.Divide(), total, g(ops.Add(), count, like(g, rows.data, 1)))
    combine, reduce, neutral = _REDUCTIONS[reduction]
    kept = like(g, rows.data, neutral) if neutral is not None else g(ops.Unsqueeze(), rows.data, g.ints([2]))
    offered = g(ops.Unsqueeze(), rows.updates, g.ints([1]))
    found = g(ops.Select(), g(ops.Unsqueeze(), meets, g.ints([3])), offered, kept)
    return g(combine, rows.data, g(reduce, found, g.ints([2])))


_SUMS: Final = {"sum": ops.Add(), "mean": ops.Add(), "sub": ops.Subtract()}
_REDUCTIONS: Final = {
    "sum": (ops.Add(), ops.ReduceSum(keep_dims=False), 0),
    "sub": (ops.Subtract(), ops.ReduceSum(keep_dims=False), 0),
    "prod": (ops.Multiply(), ops.ReduceProd(keep_dims=False), 1),
    "min": (ops.Minimum(), ops.ReduceMin(keep_dims=False), None),
    "max": (ops.Maximum(), ops.ReduceMax(keep_dims=False), None),
}
"""How what is found joins what was there, how it is found, and what stands where nothing meets: None for that there."""

RULES = (spell_scatter_elements, spell_scatter_nd)
