"""Axes counted from either end, and what is known of the inputs that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.tensor.shape import UNKNOWN, Dim, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelbuild.tensor.dtype import Ints
    from modelbuild.tensor.fact import Fact


def axis_of(axis: int, rank: int) -> int:
    """``axis`` counted from the front; raises ``ValueError`` where there is no such axis."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is not in a tensor of {rank} axes")
    return axis % rank


def axes_of(axes: Iterable[int], rank: int) -> Ints:
    """All of ``axes`` counted from the front; raises ``ValueError`` for one that is named twice."""
    found = tuple(axis_of(axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"axes {list(found)} name one twice")
    return found


def known_axis(axis: Fact, rank: int) -> int | None:
    """The one axis that an input names, counted from the front, or ``None`` where it is not known yet."""
    found = axis.ints
    if found is None:
        return None
    if len(found) != 1:
        raise ValueError(f"one axis expected, {len(found)} given")
    return axis_of(found[0], rank)


def unknown(rank: int | None) -> Shape | None:
    """A shape of which only the rank is known."""
    return None if rank is None else (UNKNOWN,) * rank


def length(fact: Fact) -> int | None:
    """How many elements a list has, if that is known; raises ``ValueError`` for what is no list."""
    if fact.shape is None:
        return None
    if len(fact.shape) > 1:
        raise ValueError(f"a list expected, {fact} given")
    extent: Dim = fact.shape[0] if fact.shape else 1
    return extent if isinstance(extent, int) else None


def replaced(shape: Shape, axis: int, *dims: Dim) -> Shape:
    """``shape`` with other dimensions, any number of them, in place of ``axis``."""
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def known_axes(axes: Fact, rank: int) -> Ints | None:
    """The axes that an input names, counted from the front, or ``None`` where they are not known yet."""
    found = axes.ints
    return None if found is None else axes_of(found, rank)
