"""Transpositions that undo each other, and those that only look like ones."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.rewrite import Match, Rewriter, Skip, anything, constant, of, rule
from modelbuild.tensor.shape import Shape

x, order = anything(), constant()
transpose = of(ops.Transpose, x, order)


@rule(transpose)
def reshape_instead(m: Match, g: Rewriter) -> Value | Skip:
    """Transpose(x: [1,T,C], [1,0,2])  ->  Reshape(x, [-1,1,C])"""
    shape = m[x].fact.shape
    axes = m[order].numpy().tolist()
    if shape is None:
        return Skip("the shape of its input is unknown")
    moved = [axis for axis in axes if shape[axis] != 1]
    if not axes or moved != sorted(moved):
        return Skip("it moves elements")
    target = _target(shape, axes)
    if target is None:
        return Skip("more than one extent is known only at run time")
    return g(ops.Reshape(special_zero=True), m[x], g.ints(target))


def _target(shape: Shape, axes: list[int]) -> list[int] | None:
    """The shape to ask of a Reshape with ``special_zero``: 0 keeps the extent of the same axis, one may be -1."""
    target = []
    for place, axis in enumerate(axes):
        extent = shape[axis]
        target.append(extent if isinstance(extent, int) and extent else 0 if place == axis else -1)
    return target if target.count(-1) <= 1 else None


first_order = constant()
first = of(ops.Transpose, x, first_order, shared=True)
second = of(ops.Transpose, first, order)


@rule(second)
def merge_transposes(m: Match, g: Rewriter) -> Value | None:
    """Transpose(Transpose(x, p), q)  ->  Transpose(x, p[q]), or x"""
    inner, outer = (m[key].numpy().tolist() for key in (first_order, order))
    if not inner or not outer:
        return None
    both = [inner[axis] for axis in outer]
    return m[x] if both == sorted(both) else g(ops.Transpose(), m[x], g.ints(both))


RULES = (merge_transposes, reshape_instead)
