"""Casts between element types that give the same bits on every machine.

Rounding is to the nearest, ties to even, as in numpy and ml_dtypes. Where those leave the result to the processor it
is settled here: NaNs become quiet and keep sign and leading payload bits, and a float outside an integer type
becomes the nearest end of its range (NaN: zero).
"""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import msgspec
import numpy as np

from modelbuild.tensor.dtype import Array, ElementType

_E = ElementType
_MANTISSA = {_E.f64: 52, _E.f32: 23, _E.f16: 10, _E.bf16: 7}
_OF_NUMPY: Final = {_E.f64, _E.f32, _E.f16}
_VECTORISED: Final[dict[tuple[ElementType, ElementType], Literal["float16", "bfloat16", "float32"]]] = {
    (_E.f32, _E.f16): "float16",
    (_E.f32, _E.bf16): "bfloat16",
    (_E.f16, _E.f32): "float32",
}


_BITS: Final = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
_SIGNED_BITS: Final = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}


class BeyondRange(Exception):
    """A finite number met by a strict cast whose target cannot hold it. Whoever asked for strictness has a way on."""


class Caster(msgspec.Struct, frozen=True):
    """Casts flat arrays from one element type to another.

    ``saturate`` says what becomes of a finite value that the target cannot hold: its nearest end (infinities stay
    infinite where the target has them), or else what IEEE and two's complement say: infinity, or the low bits. A
    ``strict`` cast of real numbers to smaller ones raises :class:`BeyondRange` instead.
    """

    source: ElementType
    target: ElementType
    saturate: bool
    strict: bool = False

    def __post_init__(self) -> None:
        for dtype in (self.source, self.target):
            if not dtype.bits:
                raise ValueError(f"cannot cast {self.source} to {self.target}")
        if self.source.is_real and self.target.is_integer and not self.saturate:
            raise ValueError(f"a cast of {self.source} to {self.target} that does not saturate depends on the machine")

    def into(self, out: Array, elements: Array) -> None:
        """Write the cast of ``elements`` to ``out``, which has as many elements and the target's numpy type."""
        if self.source is self.target:
            out[:] = elements
        elif (name := _VECTORISED.get((self.source, self.target))) and not self._has_extremes(elements):
            import numkong

            numkong.astype(elements, name, out=out)
        elif self.source.is_real:
            self._from_real(out, elements)
        else:
            self._from_integer(out, elements)

    def _has_extremes(self, elements: Array) -> bool:
        """Whether an element is NaN, or so large that it may not fit into the target."""
        if not elements.size:
            return False
        unsigned, signed = elements.view(_BITS[elements.itemsize]), elements.view(_SIGNED_BITS[elements.itemsize])
        bound = _largest_bits(self.source, self.target)
        # The greatest signed number is the greatest positive float, the greatest unsigned one the least negative.
        return bool(
            np.maximum.reduce(signed) > bound or np.maximum.reduce(unsigned) > bound | 1 << (self.source.bits - 1)
        )

    @property
    def _narrows(self) -> bool:
        return _narrows(self.source, self.target)

    def _from_real(self, out: Array, elements: Array) -> None:
        if self.target is _E.boolean:
            out[:] = elements != 0
            return
        if self.target.is_integer:
            with np.errstate(invalid="ignore"):  # a signalling NaN is zero like any other
                self._real_to_integer(out, elements.astype(np.float64))
            return
        if self.strict and self._narrows and (np.abs(elements[np.isfinite(elements)]) > _largest(self.target)).any():
            raise BeyondRange(f"{self.target} ends at {_largest(self.target):g}")
        nans = np.isnan(elements)
        if self.source.bits < 16:  # ml_dtypes has no casts between some of its small types
            elements = elements.astype(np.float32)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if self.saturate and self._narrows:
                largest = np.array(_largest(self.target), elements.dtype)
                elements = np.where(np.isinf(elements), elements, np.clip(elements, -largest, largest))
            out[:] = elements.astype(out.dtype)
        if nans.any() and self.source in _MANTISSA and self.target in _MANTISSA:
            out.view(f"u{out.itemsize}")[nans] = self._quiet(elements[nans])

    def _quiet(self, nans: Array) -> Array:
        """Give the target's bits of NaNs of the source."""
        bits = nans.view(f"u{nans.itemsize}").astype(np.uint64)
        sign = bits >> np.uint64(self.source.bits - 1) << np.uint64(self.target.bits - 1)
        quiet = _infinity(self.target) | 1 << (_MANTISSA[self.target] - 1)
        if self.target is _E.bf16:  # ml_dtypes keeps no payload
            return sign | np.uint64(quiet)
        payload = bits & np.uint64((1 << _MANTISSA[self.source]) - 1)
        gain = _MANTISSA[self.target] - _MANTISSA[self.source]
        payload = payload << np.uint64(gain) if gain > 0 else payload >> np.uint64(-gain)
        return sign | np.uint64(quiet) | payload

    def _real_to_integer(self, out: Array, elements: Array) -> None:
        low, high = _range(self.target)
        below, above = elements <= low, elements >= high
        inside = np.where(below | above | np.isnan(elements), 0, elements)
        out[:] = inside.astype(_carrier(self.target)).astype(out.dtype)
        out[below], out[above] = low, high

    def _from_integer(self, out: Array, elements: Array) -> None:
        if self.target is _E.boolean:
            out[:] = elements.astype(_carrier(self.source)) != 0
            return
        elements = elements.astype(_carrier(self.source))
        if self.saturate and self.source is not _E.boolean:
            (low, high), (lowest, highest) = _range(self.source), _range(self.target)
            elements = np.clip(elements, max(low, lowest), min(high, highest))
        with np.errstate(over="ignore"):
            if self.target.is_integer:
                elements = elements.astype(_carrier(self.target))
            out[:] = elements.astype(out.dtype)


def _carrier(dtype: ElementType) -> np.dtype[np.generic]:
    """The whole-byte numpy type that holds an integer type."""
    if dtype.bits >= 8:
        return dtype.numpy
    return np.dtype(np.int8 if dtype.is_signed_integer else np.uint8)


def _range(dtype: ElementType) -> tuple[int, int]:
    if dtype.is_real:
        return -int(_largest(dtype)), int(_largest(dtype))
    if dtype.is_signed_integer:
        return -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1
    return 0, (1 << dtype.bits) - 1


@cache
def _largest(dtype: ElementType) -> float:
    if dtype in _OF_NUMPY:
        return float(np.finfo(dtype.numpy).max)
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


def _narrows(source: ElementType, target: ElementType) -> bool:
    return _largest(target) < _largest(source)


@cache
def _largest_bits(source: ElementType, target: ElementType) -> int:
    """The bits of the largest positive number of ``source`` that surely fits into ``target``, or of infinity."""
    if not _narrows(source, target):
        return _infinity(source)
    largest = np.array(_largest(target), source.numpy)
    return int(largest.view(_BITS[largest.itemsize]))


def _infinity(dtype: ElementType) -> int:
    """The bits of positive infinity: all ones in the exponent."""
    return (1 << (dtype.bits - 1)) - (1 << _MANTISSA[dtype])
