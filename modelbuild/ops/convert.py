"""Changes of element type."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, decide_equal


class Convert(Op, frozen=True):
    """The same numbers as another type: towards zero to integers, non-zero is true.

    Between integers the high bits are dropped. What is too large for an integer becomes its extreme, NaN zero.
    ``decompression`` marks the way back from a compressed constant.
    """

    destination_type: ElementType
    decompression: bool = False

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True

    @property
    def is_kept(self) -> bool:
        return self.decompression

    def infer(self, data: Fact) -> Fact:
        if ElementType.string in {data.dtype, self.destination_type}:
            raise ValueError(f"{data} cannot become {self.destination_type}")
        return Fact(self.destination_type, data.shape)

    def evaluate(self, data: Array) -> Array:
        if data.dtype == object:
            return _convert_dims(data, self.destination_type)
        return converted(data, self.destination_type)


class ConvertLike(Op, frozen=True):
    """``data`` as the element type of ``like``."""

    exact: ClassVar[bool] = True

    def infer(self, data: Fact, like: Fact) -> Fact:
        return Fact(like.dtype, data.shape)

    def evaluate(self, data: Array, like: Array) -> Array:
        return converted(data, ElementType.of(like.dtype))


def converted(data: Array, to: ElementType) -> Array:
    if to is ElementType.boolean:
        return np.asarray(data != 0)
    if to.is_integer and ElementType.of(data.dtype).is_real:
        return _truncated(data.astype(np.float64), to)
    return np.asarray(data.astype(to.numpy))


def _truncated(data: Array, to: ElementType) -> Array:
    """Processors differ in what they make of a number that does not fit, so that is spelled out."""
    least, most = (-(1 << to.bits - 1), (1 << to.bits - 1) - 1) if to.is_signed_integer else (0, (1 << to.bits) - 1)
    low, high = data <= least - 1, data >= most + 1
    inside = np.where(low | high | np.isnan(data), 0, data)
    whole = inside.astype(np.uint64 if to is ElementType.u64 else np.int64).astype(to.numpy)
    whole[low], whole[high] = least, most
    return whole


def _convert_dims(data: Array, to: ElementType) -> Array:
    def convert(d: Any) -> Any:
        if isinstance(d, int):
            return converted(np.array(d), to).item()
        if to is not ElementType.boolean:
            return d
        answer = decide_equal(d, 0)
        return UNKNOWN if answer is None else int(not answer)

    return np.asarray(np.frompyfunc(convert, 1, 1)(data), object)
