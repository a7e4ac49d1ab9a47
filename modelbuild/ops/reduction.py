"""Reductions: many elements along some axes become one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axes_of, length
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Shape


class Reduce(Op, frozen=True):
    """``data`` less the axes that the second input lists; no axes, no reduction.

    :meth:`along` is the meaning for one axis, applied to one after the other.
    """

    keep_dims: bool

    list_inputs: ClassVar[tuple[int, ...]] = (1,)
    of_truth: ClassVar[bool] = False
    """Whether it takes truth values, or else numbers."""

    def infer(self, data: Fact, axes: Fact) -> Fact:
        if data.dtype is ElementType.string or (data.dtype is ElementType.boolean) is not self.of_truth:
            wanted = "truth values" if self.of_truth else "numbers"
            raise ValueError(f"{type(self).__name__} takes {wanted}, not {data}")
        return Fact(data.dtype, reduced(data, axes, keep_dims=self.keep_dims))

    def evaluate(self, data: Array, axes: Array) -> Array:
        y = self.before(data)
        chosen = axes_of(axes.reshape(-1).tolist(), data.ndim)
        for axis in sorted(chosen, reverse=True):
            y = self.along(y, axis)
        y = self.after(y, int(np.prod([data.shape[axis] for axis in chosen], dtype=np.int64)))
        if self.keep_dims:
            y = np.expand_dims(y, tuple(chosen))
        return y if data.dtype.kind == "O" else np.asarray(y).astype(data.dtype, copy=False)

    def before(self, data: Array) -> Array:
        """Real numbers are added up in double precision, one after the other: the same bits everywhere."""
        return data if data.dtype.kind in "iubO" else data.astype(np.float64)

    def along(self, data: Array, axis: int) -> Array:
        raise NotImplementedError

    def after(self, data: Array, count: int) -> Array:
        return data


class ReduceSum(Reduce, frozen=True):
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True

    def along(self, data: Array, axis: int) -> Array:
        return _fold(np.add, data, axis)


class ReduceMean(ReduceSum, frozen=True):
    """Of integers rounded towards zero."""

    follows_dims: ClassVar[bool] = False

    def after(self, data: Array, count: int) -> Array:
        return np.asarray(np.trunc(data / count) if data.dtype.kind in "iu" else data / count)


class ReduceL1(ReduceSum, frozen=True):
    version: ClassVar[str] = "opset4"
    follows_dims: ClassVar[bool] = False

    def before(self, data: Array) -> Array:
        return np.abs(super().before(data))


class ReduceL2(ReduceSum, frozen=True):
    version: ClassVar[str] = "opset4"
    follows_dims: ClassVar[bool] = False

    def before(self, data: Array) -> Array:
        return np.square(super().before(data))

    def after(self, data: Array, count: int) -> Array:
        return np.asarray(np.sqrt(data))


class ReduceProd(Reduce, frozen=True):
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True

    def along(self, data: Array, axis: int) -> Array:
        return _fold(np.multiply, data, axis)


class ReduceMax(Reduce, frozen=True):
    """Of nothing: the least number of the type."""

    exact: ClassVar[bool] = True

    def before(self, data: Array) -> Array:
        return data

    def along(self, data: Array, axis: int) -> Array:
        return np.asarray(np.max(data, axis, initial=_limits(data)[0]))


class ReduceMin(Reduce, frozen=True):
    """Of nothing: the greatest number of the type."""

    exact: ClassVar[bool] = True

    def before(self, data: Array) -> Array:
        return data

    def along(self, data: Array, axis: int) -> Array:
        return np.asarray(np.min(data, axis, initial=_limits(data)[1]))


class ReduceLogicalAnd(Reduce, frozen=True):
    exact: ClassVar[bool] = True
    of_truth: ClassVar[bool] = True

    def along(self, data: Array, axis: int) -> Array:
        return np.asarray(np.all(data, axis))


class ReduceLogicalOr(Reduce, frozen=True):
    exact: ClassVar[bool] = True
    of_truth: ClassVar[bool] = True

    def along(self, data: Array, axis: int) -> Array:
        return np.asarray(np.any(data, axis))


def reduced(data: Fact, axes: Fact, *, keep_dims: bool) -> Shape | None:
    """The shape of a reduction; raises ``ValueError`` for an axis that is not there or named twice."""
    length(axes)
    if data.shape is None:
        return None
    chosen = axes.ints
    if chosen is None:
        return (UNKNOWN,) * len(data.shape) if keep_dims else None
    gone = axes_of(chosen, len(data.shape))
    if keep_dims:
        return tuple(1 if i in gone else d for i, d in enumerate(data.shape))
    return tuple(d for i, d in enumerate(data.shape) if i not in gone)


def _fold(ufunc: np.ufunc, data: Array, axis: int) -> Array:
    """Strictly from first to last, which ``reduce`` does not promise: it splits long rows to suit the processor."""
    if data.dtype.kind not in "f" or data.shape[axis] == 0:
        return np.asarray(ufunc.reduce(data, axis, dtype=data.dtype))
    return np.asarray(np.take(ufunc.accumulate(data, axis), -1, axis))


def _limits(data: Array) -> tuple[Any, Any]:
    if data.dtype.kind in "iu":
        info = np.iinfo(data.dtype)
        return info.min, info.max
    if data.dtype.kind == "b":
        return False, True
    return data.dtype.type("-inf"), data.dtype.type("inf")
