"""In which steps numbers become integers: scales and zero points by the least and the greatest that share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild.rewrite import Skip
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.quantized import RANGES
from modelbuild.tensor.storage import InMemory

LARGEST: Final = 2.0**100
"""A scale beyond this, or one that is no number, leaves a weight as it is."""

SMALLEST: Final = 2.0**-100
"""What would need a smaller scale than this is zero."""

MANY: Final = 64
"""Where so many numbers share a scale, the two at its ends may be off by as much as any."""

_HALF: Final = np.finfo(np.float16)


@dataclass(frozen=True, slots=True)
class Steps:
    """A number is ``(integer - zero point) * scale``; without zero points they are zero."""

    scales: InMemory
    zero_points: InMemory | None


def steps_for(least: Array, most: Array, dtype: ElementType, *, shared: int) -> Steps | Skip:
    """Steps from ``least`` to ``most`` for each scale, which ``shared`` numbers share.

    Scales are f16 where that holds all of them and all numbers, else f32; zero points are rounded for what they became.
    """
    least, most = least.astype(np.float64), most.astype(np.float64)
    over = _overhang(dtype, shared)
    lowest, highest = RANGES[dtype]
    if lowest < 0:
        scales = _signed(least, most, lowest, highest, over)
    else:
        least, most = np.minimum(least, 0), np.maximum(most, 0)
        scales = (most - least) / (highest + over)
    if not (np.abs(scales) <= LARGEST).all():  # so that what is no number fails too
        return Skip("it holds a number that is infinite, huge or none")
    scales[np.abs(scales) < SMALLEST] = 1
    rounded = scales.astype(np.float32).astype(np.float16 if _fits_half(scales, least, most) else np.float32)
    if lowest < 0:
        return Steps(InMemory(rounded), None)
    zeros = np.clip(np.rint(-least / rounded.astype(np.float64) - over / 2), lowest, highest)
    return Steps(InMemory(rounded), InMemory(zeros.astype(np.uint8).astype(dtype.numpy)))


def _overhang(dtype: ElementType, shared: int) -> float:
    """How far the ends lie beyond the last integers, in steps.

    Half a step costs nothing there, as all other numbers are off by up to that much, and makes all steps smaller: of
    sixteen by a twentieth, which takes 6 to 8 % off the squared error of normal and Laplace noise (measured); of 256 it
    is not worth it.
    """
    if dtype.bits == 8:
        return 0.0
    return 0.5 if shared >= MANY else 0.25


def _signed(least: Array, most: Array, lowest: int, highest: int, over: float) -> Array:
    """Scales of steps around zero. What is farthest from it becomes the least integer, as there are more below zero.

    So a scale is negative where that number is positive. The ends lie over as far as the other one leaves them.
    """
    far, near = np.maximum(-least, most), np.minimum(-least, most)
    sizes = np.maximum(far / (over - lowest), np.minimum(near / (highest + over), far / -lowest))
    signed: Array = np.copysign(sizes, -least - most)
    return signed


def _fits_half(scales: Array, least: Array, most: Array) -> bool:
    greatest = max(np.abs(values).max() for values in (scales, least, most))
    return bool(greatest <= _HALF.max and np.abs(scales).min() >= _HALF.smallest_normal)
