"""Bags of rows of a table, reduced to a row each."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import expect_ranks, only, possible
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim


def _rows(table: Fact, count: Dim) -> Fact:
    if table.rank == 0:
        raise ValueError(f"{table} has no rows")
    return Fact(table.dtype, None if table.shape is None else possible((count, *table.shape[1:])))


def _extent(fact: Fact) -> Dim:
    if fact.rank == 0:
        raise ValueError(f"a list expected, {fact} given")
    return fact.shape[0] if fact.shape else UNKNOWN


class EmbeddingBagOffsetsSum(Op, frozen=True):
    """Inputs ``table, indices, offsets``, the row of empty bags (none: zeros), and a weight an index."""

    version: ClassVar[str] = "opset3"

    def infer(self, table: Fact, indices: Fact, offsets: Fact, *rest: Fact) -> Fact:
        expect_ranks("indices and offsets", Fact(indices.dtype, (1,)), indices, offsets)
        return _rows(table, _extent(offsets))

    def evaluate(
        self, table: Array, indices: Array, offsets: Array, default: Array | None = None, weights: Array | None = None
    ) -> Array:
        ends = [*offsets[1:].tolist(), len(indices)]
        spans = [slice(a, b) for a, b in zip(offsets.tolist(), ends, strict=True)]
        return np.stack([_bag(table, indices, weights, default, span) for span in spans])


class EmbeddingSegmentsSum(Op, frozen=True):
    """Inputs ``table, indices, segments, number of segments``, then as :class:`EmbeddingBagOffsetsSum`."""

    version: ClassVar[str] = "opset3"

    def infer(self, table: Fact, indices: Fact, segments: Fact, count: Fact, *rest: Fact) -> Fact:
        expect_ranks("indices and segments", Fact(indices.dtype, (1,)), indices, segments)
        (extent,) = count.elements or (UNKNOWN,)
        return _rows(table, extent)

    def evaluate(  # noqa: PLR0917 - the operation has so many inputs
        self,
        table: Array,
        indices: Array,
        segments: Array,
        count: Array,
        default: Array | None = None,
        weights: Array | None = None,
    ) -> Array:
        return np.stack([_bag(table, indices, weights, default, segments == i) for i in range(only(count))])


class EmbeddingBagPackedSum(Op, frozen=True):
    """Inputs ``table``, ``indices`` of a bag a row, and a weight an index."""

    version: ClassVar[str] = "opset3"

    def infer(self, table: Fact, indices: Fact, *weights: Fact) -> Fact:
        return _rows(table, _extent(indices))

    def evaluate(self, table: Array, indices: Array, weights: Array | None = None) -> Array:
        rows = table[indices]
        return np.asarray((rows if weights is None else _weighted(rows, weights)).sum(1), table.dtype)


class EmbeddingBagOffsets(EmbeddingBagOffsetsSum, frozen=True):
    """:class:`EmbeddingBagOffsetsSum` with ``sum`` or ``mean``."""

    reduction: str

    version: ClassVar[str] = "opset15"

    def evaluate(
        self, table: Array, indices: Array, offsets: Array, default: Array | None = None, weights: Array | None = None
    ) -> Array:
        sums = super().evaluate(table, indices, offsets, default, weights)
        if self.reduction == "sum":
            return sums
        counts = np.diff(np.append(offsets, len(indices))).clip(1)
        return np.asarray(sums / counts.reshape(-1, *(1,) * (table.ndim - 1)), table.dtype)


class EmbeddingBagPacked(EmbeddingBagPackedSum, frozen=True):
    """:class:`EmbeddingBagPackedSum` with ``sum`` or ``mean``."""

    reduction: str

    version: ClassVar[str] = "opset15"

    def evaluate(self, table: Array, indices: Array, weights: Array | None = None) -> Array:
        sums = super().evaluate(table, indices, weights)
        return sums if self.reduction == "sum" else np.asarray(sums / indices.shape[1], table.dtype)


def _bag(table: Array, indices: Array, weights: Array | None, default: Array | None, which: slice | Array) -> Array:
    taken = indices[which]
    if not taken.size:
        row = -1 if default is None else only(default)
        return np.zeros_like(table[0]) if row == -1 else table[row]
    rows = table[taken]
    return np.asarray((rows if weights is None else _weighted(rows, weights[which])).sum(0), table.dtype)


def _weighted(rows: Array, weights: Array) -> Array:
    return np.asarray(rows * weights.reshape(*weights.shape, *(1,) * (rows.ndim - weights.ndim)))
