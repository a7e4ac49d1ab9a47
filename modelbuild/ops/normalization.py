"""Normalizations."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import known_axes
from modelbuild.ops.elementwise import Unary, expect_numbers
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import decide_equal


class BatchNormInference(Op, frozen=True):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, a number a channel (axis 1)."""

    epsilon: float

    version: ClassVar[str] = "opset5"

    def infer(self, data: Fact, gamma: Fact, beta: Fact, mean: Fact, variance: Fact) -> Fact:
        if not self.epsilon >= 0:
            raise ValueError(f"epsilon is {self.epsilon}, a number of at least 0 expected")
        for each in (gamma, beta, mean, variance):
            if each.dtype is not data.dtype:
                raise ValueError(f"BatchNormInference of {data} with {each}: the element types differ")
            _check_channels(data, each)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
        gamma, beta, mean, variance = (_a_channel(c, data.ndim) for c in (gamma, beta, mean, variance))
        wide = data.astype(np.float64)
        y = (wide - mean) / np.sqrt(variance.astype(np.float64) + self.epsilon) * gamma + beta
        return np.asarray(y).astype(data.dtype)


class EpsMode(StrEnum):
    INSIDE_SQRT = "INSIDE_SQRT"
    OUTSIDE_SQRT = "OUTSIDE_SQRT"


class MVN(Op, frozen=True):
    """``x - mean`` over the axes of the second input, and divided by the standard deviation if asked for."""

    eps: float
    normalize_variance: bool = True
    eps_mode: EpsMode = EpsMode.INSIDE_SQRT

    version: ClassVar[str] = "opset6"
    list_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, axes: Fact) -> Fact:
        expect_numbers(self, data)
        _check_axes(data, axes)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, axes: Array) -> Array:
        along = tuple(axes.reshape(-1).tolist())
        y = data.astype(np.float64)
        y -= y.mean(along, keepdims=True)
        if self.normalize_variance:
            variance = np.square(y).mean(along, keepdims=True)
            inside = self.eps_mode is EpsMode.INSIDE_SQRT
            y /= np.sqrt(variance + self.eps) if inside else np.sqrt(variance) + self.eps
        return y.astype(data.dtype)


class LRN(Op, frozen=True):
    """``x / (bias + alpha / size^n * sum of the squares around x) ^ beta``; n is the number of axes."""

    alpha: float
    beta: float
    bias: float
    size: int

    def infer(self, data: Fact, axes: Fact) -> Fact:
        _check_axes(data, axes)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, axes: Array) -> Array:
        total = np.square(data.astype(np.float64))
        chosen = axes.reshape(-1).tolist()
        before, after = (self.size - 1) // 2, self.size // 2
        for axis in chosen:
            pads = [(0, 0)] * data.ndim
            pads[axis] = (before, after)
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(total, pads), self.size, axis)
            total = windows.sum(-1)
        scale = self.bias + self.alpha / self.size ** len(chosen) * total
        return np.asarray(data / scale**self.beta).astype(data.dtype)


class EpsJoin(StrEnum):
    """How ``eps`` keeps a norm away from zero."""

    ADD = "add"
    MAX = "max"


class NormalizeL2(Op, frozen=True):
    """``x`` divided by its Euclidean norm over the axes of the second input; without axes by the absolute value."""

    eps: float
    eps_mode: EpsJoin

    def infer(self, data: Fact, axes: Fact) -> Fact:
        _check_axes(data, axes)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, axes: Array) -> Array:
        squares = np.square(data.astype(np.float64)).sum(tuple(axes.reshape(-1).tolist()), keepdims=True)
        kept = squares + self.eps if self.eps_mode is EpsJoin.ADD else np.maximum(squares, self.eps)
        return np.asarray(data / np.sqrt(kept)).astype(data.dtype)


class GRN(Unary, frozen=True):
    """``x / sqrt(sum of squares over the channels + bias)``"""

    bias: float

    def evaluate(self, x: Array) -> Array:
        squares = np.square(x.astype(np.float64)).sum(1, keepdims=True)
        return np.asarray(x / np.sqrt(squares + self.bias)).astype(x.dtype)


class GroupNormalization(Op, frozen=True):
    """Mean and variance over each group of channels and all that follows; a scale and a shift a channel."""

    num_groups: int
    epsilon: float

    version: ClassVar[str] = "opset12"

    def infer(self, data: Fact, scale: Fact, bias: Fact) -> Fact:
        if self.num_groups < 1:
            raise ValueError(f"channels in {self.num_groups} groups")
        _check_channels(data, scale)
        _check_channels(data, bias)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, scale: Array, bias: Array) -> Array:
        groups = data.reshape(data.shape[0], self.num_groups, -1)
        flat = MVN(self.epsilon).evaluate(groups, np.array([2]))
        return flat.reshape(data.shape) * _a_channel(scale, data.ndim) + _a_channel(bias, data.ndim)


def _a_channel(numbers: Array, rank: int) -> Array:
    return numbers.reshape(-1, *[1] * (rank - 2))


def _check_channels(data: Fact, numbers: Fact) -> None:
    if numbers.rank not in {None, 1} or data.rank in {0, 1}:
        raise ValueError(f"{numbers} is not one number for each channel of {data}")
    if numbers.shape == (0,):
        raise ValueError(f"{data} has no channels")
    if data.shape is not None and numbers.shape is not None and decide_equal(numbers.shape[0], data.shape[1]) is False:
        raise ValueError(f"{numbers} is not one number for each channel of {data}")


def _check_axes(data: Fact, axes: Fact) -> None:
    if data.rank is not None:
        known_axes(axes, data.rank)
