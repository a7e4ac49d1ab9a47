"""Axes counted from either end, and what is known of the inputs that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, show_shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelbuild.tensor.dtype import Array, Ints
    from modelbuild.tensor.fact import Fact

LONGEST = 1 << 16
"""No list of axes, extents or parts is longer: each of them is a number or a fact in memory."""


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
    """How many elements a list has, if that is known; raises ``ValueError`` for what is no list of integers."""
    if not fact.dtype.is_integer:
        raise ValueError(f"integers expected, {fact} given")
    if fact.shape is None:
        return None
    if len(fact.shape) > 1:
        raise ValueError(f"a list expected, {fact} given")
    extent: Dim = fact.shape[0] if fact.shape else 1
    if isinstance(extent, int) and extent > LONGEST:
        raise ValueError(f"a list of {extent} axes or parts, at most {LONGEST} make sense")
    return extent if isinstance(extent, int) else None


def expect_lists(*facts: Fact) -> None:
    """Raise ``ValueError`` for one that has not a single axis: the runtime takes no scalar here."""
    for fact in facts:
        if fact.rank not in {None, 1}:
            raise ValueError(f"a list expected, {fact} given")


def only(array: Array) -> int:
    """The one element of an array, however many axes it has."""
    if array.size != 1:
        raise ValueError(f"one number expected, {array.size} given")
    return int(array.reshape(-1)[0])


def possible(shape: Shape) -> Shape:
    """``shape``; raises ``ValueError`` where an extent is negative."""
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise ValueError(f"{show_shape(shape)} is no shape")
    return shape


def expect_ranks(what: str, *facts: Fact) -> None:
    """Raise ``ValueError`` where known ranks differ."""
    if len({f.rank for f in facts} - {None}) > 1:
        raise ValueError(f"{what} differ in rank: {', '.join(map(str, facts))}")


def replaced(shape: Shape, axis: int, *dims: Dim) -> Shape:
    """``shape`` with other dimensions, any number of them, in place of ``axis``."""
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def known_axes(axes: Fact, rank: int) -> Ints | None:
    """The axes that an input names, counted from the front, or ``None`` where they are not known yet."""
    found = axes.ints
    return None if found is None else axes_of(found, rank)
