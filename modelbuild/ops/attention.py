"""Attention as one operation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import broadcast, merge_dim


class ScaledDotProductAttention(Op, frozen=True):
    """Softmax of queries times keys, times values: inputs ``query, key, value, mask, scale``, the last two optional.

    A boolean mask says which keys are seen, another is added to the scores. ``causal`` takes its place: query ``i``
    sees the keys up to ``i``. The scale is one over the root of the extent of a query unless it is given.
    """

    causal: bool = False

    version: ClassVar[str] = "opset13"
    precise_inputs: ClassVar[tuple[int, ...]] = (4,)

    def infer(self, query: Fact, key: Fact, value: Fact, mask: Fact | None = None, scale: Fact | None = None) -> Fact:
        if not query.dtype is key.dtype is value.dtype:
            raise ValueError(f"query {query}, key {key} and value {value} differ in type")
        if mask is not None and mask.dtype not in {ElementType.boolean, query.dtype}:
            raise ValueError(f"mask {mask} is neither boolean nor of the type of {query}")
        if scale is not None and scale.dtype is not query.dtype:
            raise ValueError(f"scale {scale} is not of the type of {query}")
        if query.shape is None or key.shape is None or value.shape is None:
            return Fact(query.dtype)
        if min(len(query.shape), len(key.shape), len(value.shape)) < 2:
            raise ValueError(f"query {query}, key {key} and value {value} must be matrices, or stacks of them")
        merge_dim(query.shape[-1], key.shape[-1])
        merge_dim(key.shape[-2], value.shape[-2])
        if mask is not None and (mask.rank or 0) > len(query.shape):
            raise ValueError(f"mask {mask} has more axes than query {query}")
        stack = broadcast(broadcast(query.shape[:-2], key.shape[:-2]), value.shape[:-2]) or ()
        return Fact(query.dtype, (*stack, query.shape[-2], value.shape[-1]))

    def evaluate(
        self, query: Array, key: Array, value: Array, mask: Array | None = None, scale: Array | None = None
    ) -> Array:
        factor = query.shape[-1] ** -0.5 if scale is None else scale.reshape(())
        scores = np.matmul(query, np.swapaxes(key, -1, -2)).astype(np.float64) * factor
        if self.causal:
            mask = np.tri(*scores.shape[-2:], dtype=np.bool_)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.asarray(np.matmul(weights, value), query.dtype)
