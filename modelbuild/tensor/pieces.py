"""How content is cut into pieces, and where a piece lies in its tensor."""

from __future__ import annotations

import math
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType, Ints

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE: Final = 1 << 20
"""Bytes that are handled at once: few enough to stay in a processor's cache from one step to the next."""

GLANCE: Final = PIECE >> 1
"""Bytes that are read at once where a processor goes over them more than once: they, their twins and what becomes of
them stay in its second cache, and numpy is called few enough times."""

ROOM: Final = 16 * PIECE
"""Half of what may lie freed and unused; glibc learns from no block above 32 MB."""


def boxes(shape: Ints, start: int, stop: int) -> Iterator[tuple[slice, ...]]:
    """Cut elements ``start`` to ``stop`` of a C-ordered array into boxes, in order: at most two an axis."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    whole = tuple(slice(0, extent) for extent in shape[1:])
    row, skipped = divmod(start, inner)
    last, rest = divmod(stop, inner)
    if skipped or row == last:
        end = inner if row < last else rest
        yield from ((slice(row, row + 1), *box) for box in boxes(shape[1:], skipped, end))
        row += 1
    if row < last:
        yield (slice(row, last), *whole)
    if rest and row <= last:
        yield from ((slice(last, last + 1), *box) for box in boxes(shape[1:], 0, rest))


def twins(size: int, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Two buffers in turn, the second one made when it is needed."""
    _keep_freed()
    first = np.empty(size, dtype)
    yield first
    yield from cycle((np.empty(size, dtype), first))


@cache
def _keep_freed() -> None:
    """Have glibc use freed memory again, where it would give it back to the kernel and ask for new pages every time.

    It keeps up to twice the largest block that it was ever given back, and nothing is larger than what streams through
    here: that took an eighth of the time of compressing weights. The block is never touched, so it costs nothing.
    """
    np.empty(ROOM, np.uint8)


def elements_in(dtype: ElementType, limit: int) -> int:
    """How many elements go into ``limit`` bytes; a multiple of eight, so that pieces of packed ones end on a byte."""
    return max(limit * 8 // dtype.bits // 8 * 8, 8)
