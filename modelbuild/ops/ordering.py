"""Operations that compare elements of one tensor with each other, or run along an axis."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axis_of, expect_ranks, known_axis, only, possible, replaced, unknown
from modelbuild.ops.elementwise import expect_numbers
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, decide_less, merge, product


class TopK(Op, frozen=True):
    """The ``k`` largest (or smallest) along an axis, and where they are; sorted by ``value``, ``index`` or ``none``."""

    axis: int
    mode: str = "max"
    sort: str = "value"
    index_element_type: ElementType = ElementType.i32

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, k: Fact) -> tuple[Fact, Fact]:
        if not k.dtype.is_integer or k.rank not in {None, 0}:
            raise ValueError(f"k is {k}, one integer expected")
        shape = data.shape
        if shape is not None:
            at = axis_of(self.axis, len(shape))
            (count,) = k.elements or (UNKNOWN,)
            if decide_less(shape[at], count):
                raise ValueError(f"axis {at} of {data} has no {count} elements")
            shape = possible(replaced(shape, at, count))
        return Fact(data.dtype, shape), Fact(self.index_element_type, shape)

    def evaluate(self, data: Array, k: Array) -> tuple[Array, Array]:
        order = np.argsort(data, self.axis, stable=True)
        if self.mode == "max":  # equal elements stay in order of their places
            backwards = np.flip(data, self.axis)
            order = data.shape[self.axis] - 1 - np.flip(np.argsort(backwards, self.axis, stable=True), self.axis)
        best = order.take(np.arange(only(k)), self.axis)
        if self.sort == "index":
            best = np.sort(best, self.axis)
        return np.take_along_axis(data, best, self.axis), best.astype(self.index_element_type.numpy)


class StableTopK(TopK, frozen=True):
    """:class:`TopK` that promises to leave equal elements in the order of their places."""

    stable: bool = True

    version: ClassVar[str] = "opset11"
    type_name: ClassVar[str] = "TopK"


class CumSum(Op, frozen=True):
    """Running sums along an axis, ``exclusive`` of the element itself, or in ``reverse``."""

    exclusive: bool = False
    reverse: bool = False

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, axis: Fact) -> Fact:
        expect_numbers(self, data)
        if axis.dtype not in {ElementType.i32, ElementType.i64}:
            raise ValueError(f"the axis is {axis}, an integer expected")
        if data.rank is not None:
            known_axis(axis, data.rank)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, axis: Array) -> Array:
        at = only(axis)
        made = np.flip(data, at) if self.reverse else data
        sums = np.cumsum(made, at, dtype=data.dtype)
        if self.exclusive:
            rows = np.moveaxis(sums, at, 0)
            sums = np.moveaxis(np.concatenate((np.zeros_like(rows[:1]), rows[:-1])), 0, at)
        return np.flip(sums, at) if self.reverse else sums


class Bucketize(Op, frozen=True):
    """Between which of the sorted ``buckets`` each element falls."""

    output_type: ElementType = ElementType.i64
    with_right_bound: bool = True

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, buckets: Fact) -> Fact:
        return Fact(self.output_type, data.shape)

    def evaluate(self, data: Array, buckets: Array) -> Array:
        side: Any = "left" if self.with_right_bound else "right"
        return np.asarray(np.searchsorted(buckets, data, side), self.output_type.numpy)


class SearchSorted(Op, frozen=True):
    """Where each value would go into the sorted rows, one row for all or one for each row of ``values``."""

    right_mode: bool = False
    output_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset15"
    exact: ClassVar[bool] = True

    def infer(self, rows: Fact, values: Fact) -> Fact:
        if rows.dtype is not values.dtype:
            raise ValueError(f"{values} are no values of {rows}")
        if rows.rank != 1:
            expect_ranks("rows and values", rows, values)
        return Fact(self.output_type, values.shape)

    def evaluate(self, rows: Array, values: Array) -> Array:
        side: Any = "right" if self.right_mode else "left"
        made = np.empty(values.shape, self.output_type.numpy)
        for place in np.ndindex(*values.shape[:-1]):
            made[place] = np.searchsorted(rows if rows.ndim == 1 else rows[place], values[place], side)
        return made


class Unique(Op, frozen=True):
    """The distinct elements, or slices along the axis that a second input names.

    Outputs: these, where each is first, where each element went, how often each is there. They come in order of size,
    or of appearance unless ``sorted``.
    """

    sorted: bool = True
    index_element_type: ElementType = ElementType.i64
    count_element_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset10"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, axis: Fact | None = None) -> tuple[Fact, ...]:
        if data.shape is not None and 0 in data.shape:
            raise ValueError(f"{data} has no elements, and the runtime crashes of that")
        places = Fact(self.index_element_type, (UNKNOWN,))
        counts = Fact(self.count_element_type, (UNKNOWN,))
        total, distinct = Fact(self.index_element_type, (UNKNOWN,)), unknown(1 if axis is None else data.rank)
        if data.shape is not None and axis is None:
            total = Fact(self.index_element_type, (product(data.shape),))
        elif data.shape is not None and axis is not None:
            at = known_axis(axis, len(data.shape))
            if at is not None:
                total = Fact(self.index_element_type, (data.shape[at],))
                distinct = replaced(data.shape, at, UNKNOWN)
        return Fact(data.dtype, distinct), places, total, counts

    def evaluate(self, data: Array, axis: Array | None = None) -> tuple[Array, ...]:
        at = None if axis is None else only(axis)
        values, first, inverse, counts = np.unique(data, True, True, True, axis=at)
        inverse = inverse.reshape(-1)
        if not self.sorted:
            order = np.argsort(first)
            values, first, counts = values.take(order, at or 0), first[order], counts[order]
            inverse = np.argsort(order)[inverse]
        index = self.index_element_type.numpy
        return values, first.astype(index), inverse.astype(index), counts.astype(self.count_element_type.numpy)


class GatherTree(Op, frozen=True):
    """Whole beams from the steps of a beam search: inputs ``steps, parents, lengths, end``."""

    exact: ClassVar[bool] = True

    def infer(self, steps: Fact, parents: Fact, lengths: Fact, end: Fact) -> Fact:
        if len({f.dtype for f in (steps, parents, lengths, end)}) != 1:
            raise ValueError("steps, parents, lengths and end differ in type")
        return Fact(steps.dtype, merge(steps.shape, parents.shape))

    def evaluate(self, steps: Array, parents: Array, lengths: Array, end: Array) -> Array:
        time, batches, beams = steps.shape
        stop = end.reshape(())[()]
        made = np.full_like(steps, stop)
        for batch, beam in np.ndindex(batches, beams):
            last = min(time, int(lengths[batch]))
            parent = beam
            for t in reversed(range(last)):
                made[t, batch, beam] = steps[t, batch, parent]
                parent = int(parents[t, batch, parent])
            ended = np.flatnonzero(made[:, batch, beam] == stop)
            if ended.size:
                made[ended[0] :, batch, beam] = stop
        return made
