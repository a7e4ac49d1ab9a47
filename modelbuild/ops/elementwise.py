"""Arithmetic, comparison and logic, element by element, with numpy broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, bounds, broadcast, decide_equal, decide_less, larger, smaller


class Unary(Op, frozen=True):
    """One input, and an output of the same type and shape. ``ufunc`` is the meaning."""

    ufunc: ClassVar[Callable[..., Any]]

    def infer(self, x: Fact) -> Fact:
        expect_numbers(self, x)
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(self.ufunc(x)).astype(x.dtype, copy=False)


class Abs(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.abs
    exact: ClassVar[bool] = True


class Acos(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arccos


class Acosh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arccosh
    version: ClassVar[str] = "opset4"


class Asin(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arcsin


class Asinh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arcsinh
    version: ClassVar[str] = "opset4"


class Atan(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arctan


class Atanh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.arctanh
    version: ClassVar[str] = "opset4"


class Ceiling(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.ceil
    exact: ClassVar[bool] = True


class Cos(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.cos


class Cosh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.cosh


class Erf(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.frompyfunc(math.erf, 1, 1)


class Exp(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.exp


class Floor(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.floor
    exact: ClassVar[bool] = True


class Log(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.log


class Negative(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.negative
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True


class Sign(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.sign
    exact: ClassVar[bool] = True


class Sin(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.sin


class Sinh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.sinh


class Sqrt(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.sqrt
    exact: ClassVar[bool] = True


class Tan(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.tan


class Tanh(Unary, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.tanh


class Rounding(StrEnum):
    """Where a number goes that lies in the middle of two integers."""

    HALF_TO_EVEN = "half_to_even"
    HALF_AWAY_FROM_ZERO = "half_away_from_zero"


class Round(Unary, frozen=True):
    mode: Rounding = Rounding.HALF_TO_EVEN

    version: ClassVar[str] = "opset5"
    exact: ClassVar[bool] = True

    def evaluate(self, x: Array) -> Array:
        if self.mode is Rounding.HALF_TO_EVEN:
            return np.asarray(np.rint(x)).astype(x.dtype, copy=False)
        whole = np.trunc(x)
        away = np.abs(x - whole) >= x.dtype.type(0.5)
        return np.asarray(np.where(away, whole + np.sign(x), whole)).astype(x.dtype, copy=False)


class BitwiseNot(Unary, frozen=True):
    """Of integers bit by bit, of truth values as logic."""

    ufunc: ClassVar[Callable[..., Any]] = np.invert
    version: ClassVar[str] = "opset13"

    def infer(self, x: Fact) -> Fact:
        if not x.dtype.is_integer and x.dtype is not ElementType.boolean:
            raise ValueError(f"{type(self).__name__} of {x}: only integers have bits")
        return Fact(x.dtype, x.shape)


class LogicalNot(Unary, frozen=True):
    follows_dims: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def infer(self, x: Fact) -> Fact:
        _only(self, ElementType.boolean, x)
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(1 - x) if x.dtype.kind == "O" else np.logical_not(x)


class IsTest(Unary, frozen=True):
    """A truth value an element of real numbers."""

    version: ClassVar[str] = "opset10"
    exact: ClassVar[bool] = True

    def infer(self, x: Fact) -> Fact:
        if not x.dtype.is_real:
            raise ValueError(f"{type(self).__name__} takes real numbers, not {x}")
        return Fact(ElementType.boolean, x.shape)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(self.ufunc(x))


class IsFinite(IsTest, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.isfinite


class IsNaN(IsTest, frozen=True):
    ufunc: ClassVar[Callable[..., Any]] = np.isnan


class IsInf(IsTest, frozen=True):
    detect_negative: bool = True
    detect_positive: bool = True

    def evaluate(self, x: Array) -> Array:
        wanted = (np.signbit(x) & self.detect_negative) | (~np.signbit(x) & self.detect_positive)
        return np.asarray(np.isinf(x) & wanted)


class Binary(Op, frozen=True):
    """Two inputs of one element type and an output of the same."""

    auto_broadcast: str = "numpy"

    follows_dims: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def infer(self, a: Fact, b: Fact) -> Fact:
        self.expect_type(a)
        if a.dtype is not b.dtype:
            raise ValueError(f"{type(self).__name__} of {a} and {b}: the element types differ")
        return Fact(a.dtype, broadcast(a.shape, b.shape))

    def expect_type(self, fact: Fact) -> None:
        """Raise ``ValueError`` for what cannot be computed with."""
        expect_numbers(self, fact)


class Add(Binary, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(a + b)


class Subtract(Binary, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(a - b)


class Multiply(Binary, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(a * b)


class Divide(Binary, frozen=True):
    """Integers are divided with rounding down, as Python does, if ``m_pythondiv``; otherwise towards zero."""

    m_pythondiv: bool = True

    def evaluate(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "O":
            return _each(_quotient if self.m_pythondiv else _truncated_quotient, a, b)
        if a.dtype.kind not in "iu":
            return np.asarray(a / b)
        return np.asarray(a // b if self.m_pythondiv else (a - np.fmod(a, b)) // b)


class Maximum(Binary, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return _each(larger, a, b) if a.dtype.kind == "O" else np.maximum(a, b)


class Minimum(Binary, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return _each(smaller, a, b) if a.dtype.kind == "O" else np.minimum(a, b)


class FloorMod(Binary, frozen=True):
    """The rest with the sign of the divisor."""

    def evaluate(self, a: Array, b: Array) -> Array:
        return _each(_rest, a, b) if a.dtype.kind == "O" else np.asarray(np.mod(a, b))


class Mod(Binary, frozen=True):
    """The rest with the sign of the dividend."""

    follows_dims: ClassVar[bool] = False

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(np.fmod(a, b))


class Power(Binary, frozen=True):
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)
    follows_dims: ClassVar[bool] = False
    exact: ClassVar[bool] = False

    def evaluate(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "i" and (b < 0).any():
            return np.asarray(np.power(a.astype(np.float64), b)).astype(a.dtype)
        return np.asarray(np.power(a, b))


class SquaredDifference(Binary, frozen=True):
    commutes: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = False

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray((a - b) * (a - b))


class BitwiseBinary(Binary, frozen=True):
    """On integers bit by bit, on truth values as logic."""

    ufunc: ClassVar[np.ufunc]
    version: ClassVar[str] = "opset13"
    follows_dims: ClassVar[bool] = False

    def expect_type(self, fact: Fact) -> None:
        if not fact.dtype.is_integer and fact.dtype is not ElementType.boolean:
            raise ValueError(f"{type(self).__name__} of {fact}: only integers have bits")

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(self.ufunc(a, b))


class BitwiseAnd(BitwiseBinary, frozen=True):
    ufunc: ClassVar[np.ufunc] = np.bitwise_and
    commutes: ClassVar[bool] = True


class BitwiseOr(BitwiseBinary, frozen=True):
    ufunc: ClassVar[np.ufunc] = np.bitwise_or
    commutes: ClassVar[bool] = True


class BitwiseXor(BitwiseBinary, frozen=True):
    ufunc: ClassVar[np.ufunc] = np.bitwise_xor
    commutes: ClassVar[bool] = True


class BitwiseLeftShift(BitwiseBinary, frozen=True):
    ufunc: ClassVar[np.ufunc] = np.left_shift
    version: ClassVar[str] = "opset15"


class BitwiseRightShift(BitwiseBinary, frozen=True):
    ufunc: ClassVar[np.ufunc] = np.right_shift
    version: ClassVar[str] = "opset15"


class Comparison(Binary, frozen=True):
    """A truth value an element; of dimensions it is known where their bounds decide it."""

    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1)

    def expect_type(self, fact: Fact) -> None:
        """Anything can be compared."""

    def infer(self, a: Fact, b: Fact) -> Fact:
        return Fact(ElementType.boolean, super().infer(a, b).shape)


class Equal(Comparison, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return _decide(decide_equal, a, b) if a.dtype.kind == "O" else np.asarray(a == b)


class NotEqual(Comparison, frozen=True):
    commutes: ClassVar[bool] = True

    def evaluate(self, a: Array, b: Array) -> Array:
        return 1 - _decide(decide_equal, a, b) if a.dtype.kind == "O" else np.asarray(a != b)


class Less(Comparison, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return _decide(decide_less, a, b) if a.dtype.kind == "O" else np.asarray(a < b)


class LessEqual(Comparison, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return 1 - _decide(decide_less, b, a) if a.dtype.kind == "O" else np.asarray(a <= b)


class Greater(Comparison, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return _decide(decide_less, b, a) if a.dtype.kind == "O" else np.asarray(a > b)


class GreaterEqual(Comparison, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return 1 - _decide(decide_less, a, b) if a.dtype.kind == "O" else np.asarray(a >= b)


class Logical(Binary, frozen=True):
    """Truth values in, truth values out."""

    commutes: ClassVar[bool] = True

    def expect_type(self, fact: Fact) -> None:
        _only(self, ElementType.boolean, fact)


class LogicalAnd(Logical, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return _each(_both, a, b) if a.dtype.kind == "O" else np.logical_and(a, b)


class LogicalOr(Logical, frozen=True):
    def evaluate(self, a: Array, b: Array) -> Array:
        return 1 - _each(_both, 1 - a, 1 - b) if a.dtype.kind == "O" else np.logical_or(a, b)


class LogicalXor(Logical, frozen=True):
    version: ClassVar[str] = "opset2"
    follows_dims: ClassVar[bool] = False

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.logical_xor(a, b)


def expect_numbers(op: Op, *facts: Fact) -> None:
    """Raise ``ValueError`` for truth values and text."""
    for fact in facts:
        if not (fact.dtype.is_real or fact.dtype.is_integer):
            raise ValueError(f"{type(op).__name__} takes numbers, not {fact}")


def _only(op: Op, dtype: ElementType, *facts: Fact) -> None:
    for fact in facts:
        if fact.dtype is not dtype:
            raise ValueError(f"{type(op).__name__} takes {dtype}, not {fact}")


# --- on dimensions ---------------------------------------------------------------------------------------------------


def _each(function: Any, a: Array, b: Array) -> Array:
    return np.asarray(np.frompyfunc(function, 2, 1)(a, b), object)


def _decide(function: Any, a: Array, b: Array) -> Array:
    """Truth values as dimensions: 0, 1, or ``UNKNOWN``."""

    def known(p: Any, q: Any) -> Any:
        answer = function(p, q)
        return UNKNOWN if answer is None else int(answer)

    return _each(known, a, b)


def _quotient(a: Dim, b: Dim) -> Dim:
    return a // b if b != 0 else UNKNOWN


def _truncated_quotient(a: Dim, b: Dim) -> Dim:
    """Rounding towards zero is rounding down where nothing is negative."""
    if isinstance(a, int) and isinstance(b, int) and b:
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    low, least = bounds(a)[0], bounds(b)[0]
    return a // b if low is not None and low >= 0 and least is not None and least > 0 else UNKNOWN


def _rest(a: Dim, b: Dim) -> Dim:
    return a % b if b != 0 else UNKNOWN


def _both(a: Dim, b: Dim) -> Dim:
    if a == 0 or b == 0:
        return 0
    return b if a == 1 else a if b == 1 else UNKNOWN
