"""How far two arrays are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType

QUIET_PEAK = 1e-6
"""A reference that nowhere gets louder is judged as if it did: errors of rounding are not relative to silence."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The distance of an answer from the reference, over the elements that are finite in both.

    ``problem`` says why the two cannot be compared at all, empty if they can; everything else is then infinite.
    ``misplaced`` counts elements that are NaN or an infinity in one of the two, or another infinity, and strings and
    booleans that differ. ``cosine`` is 1 for two arrays of zeros.
    """

    max_abs: float
    mean_abs: float
    peak: float
    cosine: float
    misplaced: int
    problem: str = ""

    @property
    def max_rel_to_peak(self) -> float:
        """The greatest difference, as a part of the greatest number of the reference."""
        return self.max_abs / max(self.peak, QUIET_PEAK)

    def within(self, tolerance: float) -> bool:
        """Whether nothing is misplaced and no difference exceeds ``tolerance`` times the peak."""
        return not self.problem and not self.misplaced and self.max_rel_to_peak <= tolerance


def compare(got: Array, want: Array) -> Difference:
    """How far ``got`` is from ``want``, which sets the shape, the element type and the peak."""
    if got.shape != want.shape:
        return _incomparable(f"shape {list(got.shape)}, {list(want.shape)} expected")
    types = ElementType.of(got.dtype), ElementType.of(want.dtype)
    if types[0] is not types[1]:
        return _incomparable(f"element type {types[0]}, {types[1]} expected")
    if types[1] in {ElementType.string, ElementType.boolean}:
        return Difference(0.0, 0.0, 1.0, 1.0, int(np.count_nonzero(got != want)))
    return _measure(got.astype(np.float64).reshape(-1), want.astype(np.float64).reshape(-1))


def _measure(got: Array, want: Array) -> Difference:
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
    )


def _cosine(got: Array, want: Array, peak: float) -> float:
    loudest = float(np.max(np.abs(got), initial=0))
    if not loudest or not peak:
        return 1.0 if loudest == peak else 0.0
    # Scaled first, so that squares neither overflow nor vanish.
    a, b = got / loudest, want / peak
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def _incomparable(problem: str) -> Difference:
    return Difference(np.inf, np.inf, 0.0, 0.0, 0, problem)
