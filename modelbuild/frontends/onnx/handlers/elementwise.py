"""ONNX arithmetic, comparison and logic."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Op, Value

UNARY: dict[str, Op] = {
    "Abs": ops.Abs(), "Acos": ops.Acos(), "Acosh": ops.Acosh(), "Asin": ops.Asin(), "Asinh": ops.Asinh(),
    "Atan": ops.Atan(), "Atanh": ops.Atanh(), "BitwiseNot": ops.BitwiseNot(), "Ceil": ops.Ceiling(), "Cos": ops.Cos(),
    "Cosh": ops.Cosh(), "Erf": ops.Erf(), "Exp": ops.Exp(), "Floor": ops.Floor(), "IsNaN": ops.IsNaN(),
    "Log": ops.Log(), "Neg": ops.Negative(), "Not": ops.LogicalNot(), "Round": ops.Round(), "Sign": ops.Sign(),
    "Sin": ops.Sin(), "Sinh": ops.Sinh(), "Sqrt": ops.Sqrt(), "Tan": ops.Tan(), "Tanh": ops.Tanh(),
}  # fmt: skip
"""Operators of one input that are one operation here too."""


def _unary(op: Op) -> Callable[[Build, Value], Value]:
    return lambda build, x: build(op, x)


for _name, _op in UNARY.items():
    onnx.op(_name)(_unary(_op))


@onnx.op("Reciprocal")
def reciprocal(build: Build, x: Value) -> Value:
    return build(ops.Divide(), number(build, 1, x), x)


@onnx.op("IsInf", since=10)
def is_inf(build: Build, x: Value, *, detect_negative: int = 1, detect_positive: int = 1) -> Value:
    return build(ops.IsInf(bool(detect_negative), bool(detect_positive)), x)


# --- two inputs ------------------------------------------------------------------------------------------------------


def divide(build: Build, a: Value, b: Value) -> Value:
    """Integers round towards zero."""
    return build(ops.Divide(m_pythondiv=a.fact.dtype.is_real), a, b)


def power(build: Build, x: Value, y: Value) -> Value:
    """The exponent may be of another type; the result is of the base's."""
    base, exponent = x.fact.dtype, y.fact.dtype
    if base.is_integer and exponent.is_real:
        return converted(build, build(ops.Power(), converted(build, x, exponent), y), base)
    return build(ops.Power(), x, converted(build, y, base))


def _binary(op: Op) -> Callable[[Build, Value, Value], Value]:
    return lambda build, a, b: build(op, a, b)


Binary = Callable[[Build, Value, Value], Value]
OLD_BINARY: dict[str, Binary] = {
    "Add": _binary(ops.Add()), "Sub": _binary(ops.Subtract()), "Mul": _binary(ops.Multiply()), "Div": divide,
    "Pow": power, "And": _binary(ops.LogicalAnd()), "Or": _binary(ops.LogicalOr()), "Xor": _binary(ops.LogicalXor()),
    "Equal": _binary(ops.Equal()), "Less": _binary(ops.Less()), "Greater": _binary(ops.Greater()),
}  # fmt: skip
"""Operators that before operator set 7 broadcast one way only, and only where they said so."""


def _old_form(apply: Binary) -> Callable[..., Value]:
    def handler(build: Build, a: Value, b: Value, *, axis: int | None = None, broadcast: int = 0) -> Value:
        return apply(build, a, aligned(build, a, b, axis) if broadcast and axis is not None else b)

    return handler


def _new_form(apply: Binary) -> Callable[[Build, Value, Value], Value]:
    def handler(build: Build, a: Value, b: Value) -> Value:
        return apply(build, a, b)

    return handler


def aligned(build: Build, a: Value, b: Value, axis: int) -> Value:
    """``b`` with axes added at its end, so that its first axis meets ``axis`` of ``a``."""
    own = build.rank(b, "B")
    more = build.rank(a, "A") - build.axis(axis, build.rank(a)) - own
    return build(ops.Unsqueeze(), b, build.ints(*range(own, own + more))) if more > 0 else b


for _name, _apply in OLD_BINARY.items():
    onnx.op(_name)(_old_form(_apply))
    onnx.op(_name, since=7)(_new_form(_apply))

BINARY: dict[str, tuple[int, Op]] = {
    "GreaterOrEqual": (12, ops.GreaterEqual()), "LessOrEqual": (12, ops.LessEqual()),
    "BitwiseAnd": (18, ops.BitwiseAnd()), "BitwiseOr": (18, ops.BitwiseOr()), "BitwiseXor": (18, ops.BitwiseXor()),
}  # fmt: skip

for _name, (_since, _op) in BINARY.items():
    onnx.op(_name, since=_since)(_new_form(_binary(_op)))


@onnx.op("Mod", since=10)
def mod(build: Build, a: Value, b: Value, *, fmod: int = 0) -> Value:
    """The rest has the sign of the divisor; with ``fmod``, as in C, that of the dividend."""
    return build(ops.Mod() if fmod else ops.FloorMod(), a, b)


@onnx.op("BitShift", since=11)
def bit_shift(build: Build, x: Value, y: Value, *, direction: str) -> Value:
    """By as many bits as there are, or more, or fewer than none: all are shifted out."""
    if direction not in {"LEFT", "RIGHT"}:
        raise ValueError(f"direction is {direction!r}, neither LEFT nor RIGHT")
    shift = ops.BitwiseLeftShift() if direction == "LEFT" else ops.BitwiseRightShift()
    dtype = x.fact.dtype
    amounts = y.fact.ints
    if amounts is not None and all(0 <= n < dtype.bits for n in amounts):
        return build(shift, x, y)
    fits = build(ops.Less(), y, build.scalar(dtype.bits, dtype))
    if dtype.is_signed_integer:
        fits = build(ops.LogicalAnd(), fits, build(ops.GreaterEqual(), y, number(build, 0, y)))
    if direction == "RIGHT" and dtype.is_signed_integer:
        return build(shift, x, build(ops.Select(), fits, y, build.scalar(dtype.bits - 1, dtype)))
    within = build(ops.Select(), fits, y, number(build, 0, y))
    return build(ops.Select(), fits, build(shift, x, within), number(build, 0, x))


# --- any number of inputs --------------------------------------------------------------------------------------------


def _variadic(op: Op) -> Callable[..., Value]:
    def handler(build: Build, first: Value, *others: Value) -> Value:
        return joined(build, op, (first, *others))

    return handler


def joined(build: Build, op: Op, values: tuple[Value, ...]) -> Value:
    """``op`` between all the values, from the first on."""
    return reduce(lambda a, b: build(op, a, b), values)


for _name, _op in {"Max": ops.Maximum(), "Min": ops.Minimum(), "Sum": ops.Add()}.items():
    onnx.op(_name)(_variadic(_op))


@onnx.op("Mean")
def mean(build: Build, first: Value, *others: Value) -> Value:
    total = joined(build, ops.Add(), (first, *others))
    return build(ops.Divide(), total, number(build, 1 + len(others), total))
