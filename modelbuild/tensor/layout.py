"""Layouts: what the axes of a tensor are, a sign an axis.

An upper-case letter is a name (``N``, ``C``, ``H``, ``W``), ``?`` an axis without one, ``...`` any number of those.
Functions raise ``ValueError`` where a layout does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from modelbuild.tensor.shape import Dim, Shape

_SIGN = re.compile(r"\.\.\.|.", re.DOTALL)
_ANY: Final = "?"
_SEVERAL: Final = "..."


def signs(layout: str, rank: int) -> tuple[str, ...]:
    """One sign an axis; ``?`` for each that ``...`` stands for."""
    written = _SIGN.findall(layout)
    open_ = rank - len(written) + 1
    if _SEVERAL in written and open_ >= 0:
        at = written.index(_SEVERAL)
        written[at : at + 1] = [_ANY] * open_
    if len(written) != rank:
        raise ValueError(f"layout {layout} does not fit {rank} axes")
    return tuple(written)


def axis_named(letter: str, layout: str | None, rank: int) -> int | None:
    """Where ``letter`` stands; ``None`` where nothing says so."""
    named = signs(layout, rank) if layout else ()
    return named.index(letter) if letter in named else None


def order(source: str, target: str, rank: int) -> tuple[int, ...]:
    """Axis ``i`` of ``target`` is axis ``order[i]`` of ``source``."""
    named = _named(source, rank)
    wanted = _named(target, rank)
    if sorted(named) != sorted(wanted):
        raise ValueError(f"{source} and {target} do not name the same axes")
    return tuple(named.index(sign) for sign in wanted)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(order.index(i) for i in range(len(order)))


def _named(layout: str, rank: int) -> list[str]:
    """The signs, told apart: axes without a name are counted."""
    nameless = iter(range(rank))
    return [f"?{next(nameless)}" if sign == _ANY else sign for sign in signs(layout, rank)]


def channel_axis(shape: Shape | None, layout: str | None, count: int) -> int:
    """The axis of ``count`` channels: the layout's ``C``, or what is taken for it where there is no layout.

    That is the only axis of ``count`` among those where channels stand: the first or last of three, the second or last
    of four and more.
    """
    if shape is None:
        raise ValueError("how many axes there are is not known, so the channels are not; give a shape")
    if layout is not None:
        axis = axis_named("C", layout, len(shape))
        if axis is None:
            raise ValueError(f"layout {layout} names no channels, C")
        if isinstance(shape[axis], int) and shape[axis] != count:
            raise ValueError(f"{count} channels are meant, layout {layout} says there are {shape[axis]}")
        return axis
    found = [axis for axis in _usual(shape) if shape[axis] == count]
    if len(found) != 1:
        why = f"axes {found[0]} and {found[1]} could both be" if found else "no axis that channels stand at is"
        raise ValueError(f"{why} the {count} channels; give a layout such as NCHW")
    return found[0]


def may_be_color(shape: Sequence[int | str | None] | None, layout: str | None) -> bool:
    """Whether an input has three channels: by its layout, else as the second or the last of four axes."""
    if shape is None:
        return False
    if layout is None:
        return len(shape) == 4 and 3 in (shape[1], shape[3])
    axis = axis_named("C", layout, len(shape))
    return axis is not None and shape[axis] == 3


def _usual(shape: Sequence[Dim]) -> tuple[int, ...]:
    rank = len(shape)
    if rank < 3:
        return ()
    return (0, 2) if rank == 3 else (1, rank - 1)


def written(layout: str) -> str:
    """``NCHW``  ->  ``[N,C,H,W]``, as the IR writes it."""
    return f"[{','.join(_SIGN.findall(layout))}]"
