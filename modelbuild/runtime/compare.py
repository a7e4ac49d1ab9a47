"""How far two arrays are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType

QUIET_PEAK = 1e-6
"""A reference that nowhere gets louder is judged as if it did: errors of rounding are not relative to silence."""

_RANK_OF_PICTURES: Final = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """The distance of an answer from the reference, over the elements that are finite in both.

    ``problem`` says why the two cannot be compared at all, empty if they can; everything else is then infinite.
    ``misplaced`` counts elements that are NaN or an infinity in one of the two, or another infinity, and strings and
    booleans that differ. ``cosine`` is 1 for two arrays of zeros. Of ``rows`` along the axis of classes, where there is
    a choice, the largest element stands at the same place in ``agreeing``.
    """

    max_abs: float
    mean_abs: float
    peak: float
    cosine: float
    misplaced: int
    rows: int = 0
    agreeing: int = 0
    problem: str = ""

    @property
    def max_rel_to_peak(self) -> float:
        """The greatest difference, as a part of the greatest number of the reference."""
        return self.max_abs / max(self.peak, QUIET_PEAK)

    @property
    def top1(self) -> float | None:
        """The part of the rows that agree on where the largest element is; None where there is nothing to choose."""
        return self.agreeing / self.rows if self.rows else None

    def within(self, tolerance: float) -> bool:
        """Whether nothing is misplaced and no difference exceeds ``tolerance`` times the peak."""
        return not self.problem and not self.misplaced and self.max_rel_to_peak <= tolerance


def compare(got: Array, want: Array, top1_axis: int | None = None) -> Difference:
    """How far ``got`` is from ``want``, which sets the shape, the element type and the peak.

    ``top1_axis`` is the axis of classes; where it is not said, it is taken from the number of axes.
    """
    if got.shape != want.shape:
        return _incomparable(f"shape {list(got.shape)}, {list(want.shape)} expected")
    types = ElementType.of(got.dtype), ElementType.of(want.dtype)
    if types[0] is not types[1]:
        return _incomparable(f"element type {types[0]}, {types[1]} expected")
    if types[1] in {ElementType.string, ElementType.boolean}:
        return Difference(0.0, 0.0, 1.0, 1.0, int(np.count_nonzero(got != want)))
    return _measure(
        got.astype(np.float64).reshape(-1), want.astype(np.float64).reshape(-1), *_votes(got, want, top1_axis)
    )


def over(differences: Sequence[Difference]) -> Difference:
    """What holds for an output over several examples: the worst of each, the mean of means, the sum of counts."""
    return Difference(
        max_abs=max(one.max_abs for one in differences),
        mean_abs=sum(one.mean_abs for one in differences) / len(differences),
        peak=max(one.peak for one in differences),
        cosine=min(one.cosine for one in differences),
        misplaced=sum(one.misplaced for one in differences),
        rows=sum(one.rows for one in differences),
        agreeing=sum(one.agreeing for one in differences),
        problem=next((one.problem for one in differences if one.problem), ""),
    )


def _votes(got: Array, want: Array, axis: int | None) -> tuple[int, int]:
    """How many rows there are in which one element may be the largest, and in how many both say the same one."""
    axis = _class_axis(want.ndim) if axis is None else axis
    if not -want.ndim <= axis < want.ndim or want.shape[axis] < 2:
        return 0, 0
    same = got.argmax(axis) == want.argmax(axis)
    return same.size, int(np.count_nonzero(same))


def _class_axis(rank: int) -> int:
    """The last one, as in scores [N, C] or [N, T, C]; of a picture the second, as in NCHW."""
    return 1 if rank >= _RANK_OF_PICTURES else -1


def _measure(got: Array, want: Array, rows: int, agreeing: int) -> Difference:
    finite = np.isfinite(got) & np.isfinite(want)
    equal = (got == want) | (np.isnan(got) & np.isnan(want))
    misplaced = int(np.count_nonzero(~finite & ~equal))
    got, want = np.where(finite, got, 0), np.where(finite, want, 0)
    apart = np.abs(got - want)
    count = max(int(np.count_nonzero(finite)), 1)
    peak = float(np.max(np.abs(want), initial=0))
    return Difference(
        max_abs=float(np.max(apart, initial=0)),
        mean_abs=float(np.sum(apart)) / count,
        peak=peak,
        cosine=_cosine(got, want, peak),
        misplaced=misplaced,
        rows=rows,
        agreeing=agreeing,
    )


def _cosine(got: Array, want: Array, peak: float) -> float:
    loudest = float(np.max(np.abs(got), initial=0))
    if not loudest or not peak:
        return 1.0 if loudest == peak else 0.0
    # Scaled first, so that squares neither overflow nor vanish.
    a, b = got / loudest, want / peak
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def _incomparable(problem: str) -> Difference:
    return Difference(np.inf, np.inf, 0.0, 0.0, 0, problem=problem)
