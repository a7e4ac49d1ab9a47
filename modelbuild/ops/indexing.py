"""Elements taken from, or put to, places that other tensors name."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axis_of, expect_ranks, known_axis, only, replaced, unknown
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, broadcast, merge, merge_dim, same


class Gather(Op, frozen=True):
    """``data`` at ``indices`` along an axis: inputs ``data, indices, axis``; zero where there is no such place."""

    batch_dims: int = 0

    version: ClassVar[str] = "opset8"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, data: Fact, indices: Fact, axis: Fact) -> Fact:
        if data.shape is None or indices.shape is None:
            return Fact(data.dtype)
        batch = self.batch_dims if self.batch_dims >= 0 else self.batch_dims + len(indices.shape)
        _expect_batches(batch, data, indices)
        at = known_axis(axis, len(data.shape))
        if at is None:
            return Fact(data.dtype, unknown(len(data.shape) - 1 + len(indices.shape) - batch))
        if not batch <= at:
            raise ValueError(f"axis {at} is one of {batch} batch axes")
        heads = zip(data.shape[:batch], indices.shape[:batch], strict=True)
        head = (merge_dim(d, i) for d, i in heads)
        return Fact(data.dtype, (*head, *data.shape[batch:at], *indices.shape[batch:], *data.shape[at + 1 :]))

    def evaluate(self, data: Array, indices: Array, axis: Array) -> Array:
        at = axis_of(only(axis), data.ndim)
        batch = self.batch_dims if self.batch_dims >= 0 else self.batch_dims + indices.ndim
        if not batch:
            return _take(data, indices, at)
        rows = [_take(data[b], indices[b], at - batch) for b in np.ndindex(*indices.shape[:batch])]
        return np.stack(rows).reshape(*indices.shape[:batch], *rows[0].shape)


def _expect_batches(count: int, data: Fact, indices: Fact) -> None:
    if count < 0 or any(fact.rank is not None and fact.rank < count for fact in (data, indices)):
        raise ValueError(f"{data} and indices {indices} have no {count} axes of batches")


def _take(data: Array, indices: Array, axis: int) -> Array:
    extent = data.shape[axis]
    places = np.where(indices < 0, indices + extent, indices)
    missing = (places < 0) | (places >= extent)
    if not missing.any():
        return data.take(places, axis)
    wide = np.concatenate((data, np.zeros((*data.shape[:axis], 1, *data.shape[axis + 1 :]), data.dtype)), axis)
    return wide.take(np.where(missing, extent, places), axis)


class GatherElements(Op, frozen=True):
    """For each element of ``indices``, the element of ``data`` there along the axis; other extents are the same."""

    axis: int

    version: ClassVar[str] = "opset6"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, indices: Fact) -> Fact:
        if indices.rank == 0:
            raise ValueError(f"indices {indices} need an axis")
        expect_ranks("data and indices", data, indices)
        if data.shape is None:
            return Fact(data.dtype, indices.shape)
        at = axis_of(self.axis, len(data.shape))
        along = UNKNOWN if indices.shape is None else indices.shape[at]
        return Fact(data.dtype, merge(indices.shape, replaced(data.shape, at, along)))

    def evaluate(self, data: Array, indices: Array) -> Array:
        return np.take_along_axis(data, indices, self.axis)


class GatherND(Op, frozen=True):
    """``data`` at places whose coordinates are the last axis of ``indices``, after ``batch_dims`` common axes."""

    batch_dims: int = 0

    version: ClassVar[str] = "opset8"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, indices: Fact) -> Fact:
        if data.rank == 0 or indices.rank == 0:
            raise ValueError(f"{data} cannot be indexed with {indices}: each needs an axis")
        _expect_batches(self.batch_dims + 1, data, indices)
        if data.shape is None or indices.shape is None:
            return Fact(data.dtype)
        batch, depth = self.batch_dims, indices.shape[-1]
        if not isinstance(depth, int):
            return Fact(data.dtype)
        if batch + depth > len(data.shape):
            raise ValueError(f"{data} has no {batch + depth} axes to index")
        heads = zip(data.shape[:batch], indices.shape[:batch], strict=True)
        head = (merge_dim(d, i) for d, i in heads)
        return Fact(data.dtype, (*head, *indices.shape[batch:-1], *data.shape[batch + depth :]))

    def evaluate(self, data: Array, indices: Array) -> Array:
        batch = self.batch_dims
        if not batch:
            return np.asarray(data[tuple(np.moveaxis(indices, -1, 0))])
        rows = [data[b][tuple(np.moveaxis(indices[b], -1, 0))] for b in np.ndindex(*indices.shape[:batch])]
        return np.stack(rows).reshape(*indices.shape[:batch], *rows[0].shape)


class Update(Op, frozen=True):
    """``data`` with ``updates`` at ``indices``: the shape and type of ``data``."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 3)

    def infer(self, data: Fact, indices: Fact, updates: Fact, *axis: Fact) -> Fact:
        if axis and data.rank is not None:
            known_axis(axis[0], data.rank)
        if data.dtype is not updates.dtype:
            raise ValueError(f"{updates} cannot go into {data}")
        return Fact(data.dtype, data.shape)


class ElementUpdate(Update, frozen=True):
    """An update of single elements: an index for each."""

    def infer(self, data: Fact, indices: Fact, updates: Fact, *axis: Fact) -> Fact:
        expect_ranks("data, indices and updates", data, indices, updates)
        merge(indices.shape, updates.shape)
        return super().infer(data, indices, updates, *axis)


class PlaceUpdate(Update, frozen=True):
    """An update at places whose coordinates are the last axis of ``indices``."""

    def infer(self, data: Fact, indices: Fact, updates: Fact, *axis: Fact) -> Fact:
        if 0 in {data.rank, indices.rank}:
            raise ValueError(f"{data} cannot be indexed with {indices}: each needs an axis")
        depth = indices.shape[-1] if indices.shape else 1
        if data.rank is not None and isinstance(depth, int):
            if depth > data.rank:
                raise ValueError(f"{data} has no {depth} axes to index")
            if indices.shape and updates.rank not in {None, len(indices.shape) - 1 + data.rank - depth}:
                raise ValueError(f"{updates} cannot go to {indices} of {data}")
        return super().infer(data, indices, updates, *axis)


class ScatterUpdate(Update, frozen=True):
    """Whole slices along an axis."""

    version: ClassVar[str] = "opset3"

    def infer(self, data: Fact, indices: Fact, updates: Fact, *axis: Fact) -> Fact:
        at = None if data.rank is None or not axis else known_axis(axis[0], data.rank)
        if at is not None and data.shape is not None and indices.shape is not None:
            merge(replaced(data.shape, at, *indices.shape), updates.shape)
        return super().infer(data, indices, updates, *axis)

    def evaluate(self, data: Array, indices: Array, updates: Array, axis: Array) -> Array:
        made = data.copy()
        at = axis_of(only(axis), data.ndim)
        rows = np.moveaxis(made, at, 0)
        rows[indices] = np.moveaxis(updates, range(at, at + indices.ndim), range(indices.ndim))
        return made


class ScatterElementsUpdate(ElementUpdate, frozen=True):
    """Single elements along an axis; where indices repeat, the last one stays."""

    version: ClassVar[str] = "opset3"

    def evaluate(self, data: Array, indices: Array, updates: Array, axis: Array) -> Array:
        made = data.copy()
        made[_along(indices, axis)] = updates
        return made


def _along(indices: Array, axis: Array) -> tuple[Array, ...]:
    """The coordinates of each index's element: its own, but for the axis that the index goes along."""
    places: list[Array] = list(np.indices(indices.shape))
    places[only(axis)] = indices
    return tuple(places)


class ScatterElementsReduce(ElementUpdate, frozen=True):
    """:class:`ScatterElementsUpdate` that combines what meets: ``sum``, ``prod``, ``min``, ``max`` or ``mean``.

    The element that was there takes part if ``use_init_val``.
    """

    reduction: str
    use_init_val: bool = True

    version: ClassVar[str] = "opset12"
    type_name: ClassVar[str] = "ScatterElementsUpdate"
    follows_dims: ClassVar[bool] = False

    def evaluate(self, data: Array, indices: Array, updates: Array, axis: Array) -> Array:
        where = _along(indices, axis)
        made = data.copy()
        if not self.use_init_val:
            made[where] = _neutral(self.reduction, data)
        _REDUCTIONS[self.reduction].at(made, where, updates)
        if self.reduction == "mean":
            counts = np.zeros(data.shape, np.int64)
            np.add.at(counts, where, 1)
            counts += self.use_init_val
            whole = data.dtype.kind in "iu"
            made = np.asarray(np.floor_divide(made, counts.clip(1)) if whole else made / counts.clip(1), data.dtype)
        return made


class ScatterNDUpdate(PlaceUpdate, frozen=True):
    """Elements or slices at places whose coordinates are the last axis of ``indices``."""

    version: ClassVar[str] = "opset4"

    def evaluate(self, data: Array, indices: Array, updates: Array) -> Array:
        made = data.copy()
        made[tuple(np.moveaxis(indices, -1, 0))] = updates
        return made


class ScatterNDReduce(PlaceUpdate, frozen=True):
    """:class:`ScatterNDUpdate` that combines what meets: ``sum``, ``sub``, ``prod``, ``min`` or ``max``."""

    reduction: str

    version: ClassVar[str] = "opset15"
    type_name: ClassVar[str] = "ScatterNDUpdate"
    follows_dims: ClassVar[bool] = False

    def evaluate(self, data: Array, indices: Array, updates: Array) -> Array:
        made = data.copy()
        _REDUCTIONS[self.reduction].at(made, tuple(np.moveaxis(indices, -1, 0)), updates)
        return made


_REDUCTIONS: dict[str, np.ufunc] = {
    "sum": np.add,
    "mean": np.add,
    "sub": np.subtract,
    "prod": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def _neutral(reduction: str, data: Array) -> Any:
    """What a reduction starts from where nothing else was there."""
    if reduction in {"min", "max"}:
        limits: Any = np.finfo(data.dtype) if data.dtype.kind == "f" else np.iinfo(data.dtype)
        return limits.max if reduction == "min" else limits.min
    return 1 if reduction == "prod" else 0


class Select(Op, frozen=True):
    """``then`` where the condition holds, ``otherwise`` elsewhere."""

    auto_broadcast: str = "numpy"

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True

    def infer(self, condition: Fact, then: Fact, otherwise: Fact) -> Fact:
        if condition.dtype is not ElementType.boolean or then.dtype is not otherwise.dtype:
            raise ValueError(f"{condition} cannot choose between {then} and {otherwise}")
        return Fact(then.dtype, broadcast(condition.shape, broadcast(then.shape, otherwise.shape)))

    def evaluate(self, condition: Array, then: Array, otherwise: Array) -> Array:
        if condition.dtype != object:
            return np.where(condition, then, otherwise)
        return np.asarray(np.frompyfunc(_choose, 3, 1)(condition, then, otherwise), object)


def _choose(condition: Any, then: Any, otherwise: Any) -> Any:
    if isinstance(condition, int):
        return then if condition else otherwise
    return then if same(then, otherwise) else UNKNOWN


class NonZero(Op, frozen=True):
    """The coordinates of all elements that are not zero, an axis a row."""

    output_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True

    COUNTED: ClassVar[int] = 1 << 12
    """Constants up to so many elements are counted at once."""

    def infer(self, data: Fact) -> Fact:
        count: Any = UNKNOWN
        if data.value is not None and data.value.size <= self.COUNTED:
            count = int(np.count_nonzero(data.value.numpy()))
        return Fact(self.output_type, (UNKNOWN if data.rank is None else data.rank, count))

    def evaluate(self, data: Array) -> Array:
        return np.array(np.nonzero(data), self.output_type.numpy).reshape(data.ndim, -1)
