"""Quantisation simulated on real numbers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import broadcast


class FakeQuantize(Op, frozen=True):
    """``levels`` equal steps from ``in_low`` to ``in_high``, given out as steps from ``out_low`` to ``out_high``.

    Halves are rounded to even. All four ranges broadcast to the data.
    """

    levels: int
    auto_broadcast: str = "numpy"

    precise_inputs: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)

    def infer(self, x: Fact, in_low: Fact, in_high: Fact, out_low: Fact, out_high: Fact) -> Fact:
        if self.levels < 2:
            raise ValueError(f"{self.levels} levels are no range")
        shape = x.shape
        for bound in (in_low, in_high, out_low, out_high):
            if bound.dtype is not x.dtype:
                raise ValueError(f"a range is {bound}, the data {x}")
            shape = broadcast(shape, bound.shape)
        if shape is not None and x.shape is not None and len(shape) != len(x.shape):
            raise ValueError(f"a range has more axes than the data {x}")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array, in_low: Array, in_high: Array, out_low: Array, out_high: Array) -> Array:
        steps = x.dtype.type(self.levels - 1)
        at = np.rint((x - in_low) / (in_high - in_low) * steps)
        inside = at / steps * (out_high - out_low) + out_low
        below, above = x <= np.minimum(in_low, in_high), x > np.maximum(in_low, in_high)
        return np.asarray(np.where(below, out_low, np.where(above, out_high, inside)), x.dtype)


class FakeConvert(Op, frozen=True):
    """``x * scale - shift`` rounded to an eight-bit real type and taken back."""

    destination_type: ElementType = ElementType.f8e4m3

    version: ClassVar[str] = "opset13"
    precise_inputs: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, x: Fact, scale: Fact, shift: Fact | None = None) -> Fact:
        for other in (scale, shift):
            if other is not None and other.dtype is not x.dtype:
                raise ValueError(f"scale or shift is {other}, the data {x}")
        return Fact(x.dtype, x.shape)
