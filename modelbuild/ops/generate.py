"""Tensors made from a few numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axis_of, length, only, possible, unknown
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, larger


class Range(Op, frozen=True):
    """``start``, ``start + step``, and so on before ``stop``."""

    output_type: ElementType

    version: ClassVar[str] = "opset4"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def infer(self, start: Fact, stop: Fact, step: Fact) -> Fact:
        return Fact(self.output_type, (_count(_number(start), _number(stop), _number(step)),))

    def evaluate(self, start: Array, stop: Array, step: Array) -> Array:
        first, last, delta = (x.reshape(())[()] for x in (start, stop, step))
        if start.dtype == object:
            count: Any = _count(first, last, delta)
            return np.array([first + delta * i for i in range(count)], object)
        steps = np.arange(math.ceil((float(last) - float(first)) / float(delta)))
        kind = self.output_type.numpy
        return np.asarray(np.asarray(first, kind) + steps.astype(kind) * np.asarray(delta, kind), kind)


def _number(fact: Fact) -> Any:
    """The only element, as far as it is known."""
    if fact.elements is not None:
        (only,) = fact.elements
        return only
    return UNKNOWN if fact.value is None else float(fact.value.numpy().reshape(())[()])


def _count(start: Any, stop: Any, step: Any) -> Dim:
    numbers = all(isinstance(x, int | float) for x in (start, stop, step))
    if step == 0:
        raise ValueError(f"a range from {start} to {stop} with step 0")
    if numbers and any(isinstance(x, float) for x in (start, stop, step)):
        steps: int = math.ceil((stop - start) / step)
        return max(steps, 0)
    if not isinstance(step, int):
        return UNKNOWN
    reach = stop - start if step > 0 else start - stop
    count: Dim = (reach + (abs(step) - 1)) // abs(step)
    return larger(0, count)


class Eye(Op, frozen=True):
    """Ones on a diagonal: inputs ``rows, columns, diagonal`` and the shape of a batch."""

    output_type: ElementType

    version: ClassVar[str] = "opset9"
    exact: ClassVar[bool] = True

    def infer(self, rows: Fact, columns: Fact, diagonal: Fact, batch: Fact | None = None) -> Fact:
        head = () if batch is None else unknown(length(batch)) if batch.elements is None else batch.elements
        extents = ((f.elements or (UNKNOWN,))[0] for f in (rows, columns))
        return Fact(self.output_type, None if head is None else possible((*head, *extents)))

    def evaluate(self, rows: Array, columns: Array, diagonal: Array, batch: Array | None = None) -> Array:
        n, m, k = (only(x) for x in (rows, columns, diagonal))
        shape = () if batch is None else tuple(batch.reshape(-1).tolist())
        if 0 in shape:
            return np.zeros((*shape, n, m), self.output_type.numpy)
        return np.broadcast_to(np.eye(n, m, k).astype(self.output_type.numpy), (*shape, n, m))


class OneHot(Op, frozen=True):
    """Inputs ``indices, depth, on, off``: a new axis of extent ``depth`` that is on at the index."""

    axis: int

    exact: ClassVar[bool] = True
    precise_inputs: ClassVar[tuple[int, ...]] = (2, 3)

    def infer(self, indices: Fact, depth: Fact, on: Fact, off: Fact) -> Fact:
        if on.dtype is not off.dtype:
            raise ValueError(f"on is {on}, off is {off}")
        if any(fact.rank not in {None, 0} for fact in (on, off)):
            raise ValueError(f"on is {on}, off is {off}, one number for each expected")
        if indices.shape is None:
            return Fact(on.dtype)
        (extent,) = depth.elements or (UNKNOWN,)
        at = axis_of(self.axis, len(indices.shape) + 1)
        return Fact(on.dtype, possible((*indices.shape[:at], extent, *indices.shape[at:])))

    def evaluate(self, indices: Array, depth: Array, on: Array, off: Array) -> Array:
        at = axis_of(self.axis, indices.ndim + 1)
        extent = only(depth)
        made = np.full((*indices.shape[:at], extent, *indices.shape[at:]), off.reshape(-1)[0], on.dtype)
        there = (indices >= 0) & (indices < extent)
        where = list(np.nonzero(there))
        made[(*where[:at], indices[there], *where[at:])] = on.reshape(-1)[0]
        return made
