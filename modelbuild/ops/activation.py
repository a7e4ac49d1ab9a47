"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axis_of
from modelbuild.ops.elementwise import Erf, Unary
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact


class Relu(Unary, frozen=True):
    type_name: ClassVar[str] = "ReLU"
    exact: ClassVar[bool] = True

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.maximum(x, x.dtype.type(0)))


class PRelu(Op, frozen=True):
    """``x`` where positive, ``slope * x`` elsewhere. A list of slopes is one a channel (axis 1)."""

    type_name: ClassVar[str] = "PReLU"
    exact: ClassVar[bool] = True

    def infer(self, x: Fact, slope: Fact) -> Fact:
        if x.dtype is not slope.dtype:
            raise ValueError(f"PRelu of {x} with slopes {slope}: the element types differ")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array, slope: Array) -> Array:
        if slope.ndim == 1 and x.ndim > 1 and slope.size == x.shape[1]:
            slope = slope.reshape(-1, *[1] * (x.ndim - 2))
        return np.asarray(np.where(x >= 0, x, x * slope))


class Elu(Unary, frozen=True):
    alpha: float

    def evaluate(self, x: Array) -> Array:
        return _where_positive(x, x, self.alpha * np.expm1(np.minimum(x, 0)))


class Selu(Op, frozen=True):
    """``lambda * (x where positive, alpha * (exp(x) - 1) elsewhere)``"""

    def infer(self, x: Fact, alpha: Fact, scale: Fact) -> Fact:
        if not x.dtype is alpha.dtype is scale.dtype:
            raise ValueError(f"Selu of {x} with {alpha} and {scale}: the element types differ")
        if not x.dtype.is_real:
            raise ValueError(f"Selu takes real numbers, not {x}")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array, alpha: Array, scale: Array) -> Array:
        return _where_positive(x, scale * x, scale * alpha * np.expm1(np.minimum(x, 0)))


class Sigmoid(Unary, frozen=True):
    def evaluate(self, x: Array) -> Array:
        return _sigmoid(x)


class HardSigmoid(Op, frozen=True):
    """``alpha * x + beta``, cut to 0..1."""

    precise_inputs: ClassVar[tuple[int, ...]] = (1, 2)
    exact: ClassVar[bool] = True

    def infer(self, x: Fact, alpha: Fact, beta: Fact) -> Fact:
        if not x.dtype is alpha.dtype is beta.dtype:
            raise ValueError(f"HardSigmoid of {x} with {alpha} and {beta}: the element types differ")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array, alpha: Array, beta: Array) -> Array:
        return np.asarray(np.clip(alpha * x + beta, 0, 1)).astype(x.dtype, copy=False)


class HSigmoid(Unary, frozen=True):
    """``min(max(x + 3, 0), 6) / 6``"""

    version: ClassVar[str] = "opset5"
    exact: ClassVar[bool] = True

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.clip(x + 3, 0, 6) / 6).astype(x.dtype, copy=False)


class HSwish(Unary, frozen=True):
    """``x * HSigmoid(x)``"""

    version: ClassVar[str] = "opset4"

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x * np.clip(x + 3, 0, 6) / 6).astype(x.dtype, copy=False)


class Swish(Op, frozen=True):
    """``x * sigmoid(beta * x)``; beta is a scalar, 1 if there is none."""

    version: ClassVar[str] = "opset4"

    def infer(self, x: Fact, beta: Fact | None = None) -> Fact:
        if beta is not None and (beta.dtype is not x.dtype or beta.rank):
            raise ValueError(f"Swish of {x} needs a scalar of its type, not {beta}")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array, beta: Array | None = None) -> Array:
        return np.asarray(x * _sigmoid(x if beta is None else beta * x))


class Mish(Unary, frozen=True):
    version: ClassVar[str] = "opset4"

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x * np.tanh(_softplus(x))).astype(x.dtype, copy=False)


class GeluForm(StrEnum):
    ERF = "ERF"
    TANH = "TANH"


class Gelu(Unary, frozen=True):
    """``x * Phi(x)``; with ``TANH`` Phi is approximated."""

    approximation_mode: GeluForm = GeluForm.ERF

    version: ClassVar[str] = "opset7"

    def evaluate(self, x: Array) -> Array:
        if self.approximation_mode is GeluForm.ERF:
            phi = 0.5 * (1 + Erf().evaluate(x / np.sqrt(2)))
        else:
            phi = 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return np.asarray(x * phi).astype(x.dtype, copy=False)


class SoftPlus(Unary, frozen=True):
    version: ClassVar[str] = "opset4"

    def evaluate(self, x: Array) -> Array:
        return _softplus(x)


class SoftSign(Unary, frozen=True):
    version: ClassVar[str] = "opset9"
    ufunc: ClassVar[Callable[..., Any]] = staticmethod(lambda x: x / (1 + np.abs(x)))

    def infer(self, x: Fact) -> Fact:
        if not x.dtype.is_real:
            raise ValueError(f"SoftSign takes real numbers, not {x}")
        return Fact(x.dtype, x.shape)


class Clamp(Unary, frozen=True):
    min: float
    max: float

    exact: ClassVar[bool] = True

    def infer(self, x: Fact) -> Fact:
        if self.min > self.max:
            raise ValueError(f"Clamp between {self.min} and {self.max}: nothing lies there")
        return super().infer(x)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.clip(x, self.min, self.max)).astype(x.dtype, copy=False)


class Softmax(Unary, frozen=True):
    axis: int

    version: ClassVar[str] = "opset8"
    type_name: ClassVar[str] = "SoftMax"

    def infer(self, x: Fact) -> Fact:
        if x.rank is not None:
            axis_of(self.axis, x.rank)
        return super().infer(x)

    def evaluate(self, x: Array) -> Array:
        raised = np.exp(x - x.max(self.axis, keepdims=True))
        return np.asarray(raised / raised.sum(self.axis, keepdims=True))


class LogSoftmax(Unary, frozen=True):
    axis: int

    version: ClassVar[str] = "opset5"

    def infer(self, x: Fact) -> Fact:
        if x.rank is not None:
            axis_of(self.axis, x.rank)
        return super().infer(x)

    def evaluate(self, x: Array) -> Array:
        below = x - x.max(self.axis, keepdims=True)
        return np.asarray(below - np.log(np.exp(below).sum(self.axis, keepdims=True)))


def _where_positive(x: Array, positive: Array, negative: Array) -> Array:
    return np.asarray(np.where(x > 0, positive, negative)).astype(x.dtype, copy=False)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x))).astype(x.dtype, copy=False)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x.astype(np.float64))).astype(x.dtype)
