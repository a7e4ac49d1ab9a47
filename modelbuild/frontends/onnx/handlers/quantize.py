"""ONNX quantisation.

Integers stay integers: weights are integer constants behind ``Convert -> Subtract -> Multiply``, and what becomes an
integer of eight bits or less goes through a ``FakeQuantize``: the forms that runtimes turn into integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.convert import type_named
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32
_LARGEST = {ElementType.f8e4m3: 448.0, ElementType.f8e5m2: 57344.0, ElementType.f4e2m1: 6.0}


class Scale(NamedTuple):
    """Integers ``q`` stand for ``(q - zero) * factor``; both are one number or a list along ``axis``.

    With a ``block``, both have one number for so many elements on ``axis``.
    """

    factor: Value
    zero: Value | None = None
    axis: int = 1
    block: int = 0


def dequantized(build: Build, x: Value, scale: Scale, to: ElementType | None = None) -> Value:
    """The real numbers that integers stand for, of the type of the factor unless ``to`` says otherwise."""
    if scale.block:
        return _in_blocks(build, x, scale, lambda y, s: dequantized(build, y, s, to))
    factor, zero = _spread(build, scale.factor, x, scale.axis), scale.zero
    real = _F32 if factor.fact.dtype is ElementType.f8e8m0 else factor.fact.dtype
    made = converted(build, x, real)
    if zero is not None and not _is_zero(zero):
        made = build(ops.Subtract(), made, converted(build, _spread(build, zero, x, scale.axis), real))
    return converted(build, build(ops.Multiply(), made, converted(build, factor, real)), to or real)


def quantized(build: Build, x: Value, scale: Scale, to: ElementType, *, saturate: bool = True) -> Value:
    """Real numbers as integers, halves rounded to even, what is too large made the extreme."""
    if scale.block:
        return _in_blocks(build, x, scale, lambda y, s: quantized(build, y, s, to, saturate=saturate))
    factor = converted(build, _spread(build, scale.factor, x, scale.axis), _F32)
    zero = None if scale.zero is None else converted(build, _spread(build, scale.zero, x, scale.axis), _F32)
    x = converted(build, x, _F32)
    if to.is_real:
        return _rounded_real(build, build(ops.Divide(), x, factor), to, saturate=saturate)
    least, most = limits(to)
    if to.bits <= 8 and factor.fact.value is not None and (zero is None or zero.fact.value is not None):
        bounds = [build.scalar(bound, _F32) for bound in (least, most)]
        ends = (bound if zero is None else build(ops.Subtract(), bound, zero) for bound in bounds)
        ranges = [build(ops.Multiply(), end, factor) for end in ends]
        return build(ops.Convert(to), build(ops.FakeQuantize(2**to.bits), x, *ranges, *bounds))
    made = build(ops.Round(), build(ops.Divide(), x, factor))
    made = made if zero is None else build(ops.Add(), made, zero)
    return build(ops.Convert(to), build(ops.Clamp(least, most), made))


def limits(of: ElementType) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    if of.is_unsigned_integer:
        return 0, 2**of.bits - 1
    return -(2 ** (of.bits - 1)), 2 ** (of.bits - 1) - 1


def _rounded_real(build: Build, x: Value, to: ElementType, *, saturate: bool) -> Value:
    most = _LARGEST.get(to)
    if most is None:
        raise ValueError(f"nothing is quantised to {to}")
    return build(ops.Convert(to), build(ops.Clamp(-most, most), x) if saturate else x)


def _is_zero(zero: Value) -> bool:
    return zero.fact.value is not None and not zero.fact.value.numpy().any()


def _spread(build: Build, numbers: Value, x: Value, axis: int) -> Value:
    """Numbers a tensor or an axis in a shape that broadcasts to ``x``."""
    shape = numbers.fact.shape
    if not shape or len(shape) > 1:
        return numbers
    if shape == (1,):
        return build(ops.Reshape(), numbers, build.ints())
    rank = build.rank(x)
    pattern = [1] * rank
    pattern[build.axis(axis, rank)] = -1
    return build(ops.Reshape(), numbers, build.ints(*pattern))


def _in_blocks(build: Build, x: Value, scale: Scale, make: Callable[[Value, Scale], Value]) -> Value:
    """Work on ``x`` with its axis cut into blocks; where the last one is not whole, on numbers repeated instead."""
    shape = x.fact.shape
    axis = build.axis(scale.axis, build.rank(x))
    extent = shape[axis] if shape else None
    if not isinstance(extent, int):
        raise build.refuse(f"axis {axis} of {x.fact} is in blocks, but its extent is unknown")
    factor = build(ops.Unsqueeze(), scale.factor, build.ints(axis + 1))
    zero = None if scale.zero is None else build(ops.Unsqueeze(), scale.zero, build.ints(axis + 1))
    rank = len(shape or ())
    if extent % scale.block:
        factor = _repeated(build, factor, axis, rank, scale.block, extent)
        zero = None if zero is None else _repeated(build, zero, axis, rank, scale.block, extent)
        return make(x, Scale(factor, zero))
    count = extent // scale.block
    cut = build(ops.Reshape(True), x, build.ints(*(0,) * axis, count, scale.block, *_known(build, x, axis + 1)))
    return build(ops.Reshape(), make(cut, Scale(factor, zero)), build(ops.ShapeOf(), x))


def _known(build: Build, x: Value, start: int) -> Ints:
    """The extents of ``x`` from an axis on, one of which may be unknown."""
    extents = [d if isinstance(d, int) else -1 for d in (x.fact.shape or ())[start:]]
    if extents.count(-1) > 1:
        raise build.refuse(f"{x.fact} is in blocks, but several extents behind them are unknown")
    return tuple(extents)


def _repeated(build: Build, numbers: Value, axis: int, rank: int, block: int, extent: int) -> Value:
    """[…, blocks, 1, …] as […, extent, …]: each number for so many elements."""
    repeats = [1] * (rank + 1)
    repeats[axis + 1] = block
    tiled = build(ops.Tile(), numbers, build.ints(*repeats))
    flat = build(ops.Reshape(True), tiled, build.ints(*(0,) * axis, -1, *_known(build, numbers, axis + 2)))
    return build(ops.Slice(), flat, build.ints(0), build.ints(extent), build.ints(1), build.ints(axis))


@onnx.op("QuantizeLinear", since=10)
def quantize_linear(
    build: Build, x: Value, y_scale: Value, y_zero_point: Value | None = None, *,
    axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0, saturate: int = 1,
) -> Value:  # fmt: skip
    """The type is the zero point's, or named, or u8. ``precision`` would allow less than f32, which is used here."""
    if y_zero_point is not None:
        to = y_zero_point.fact.dtype
    else:
        to = type_named(build, output_dtype) if output_dtype else ElementType.u8
    return quantized(build, x, Scale(y_scale, y_zero_point, axis, block_size), to, saturate=bool(saturate))


@onnx.op("DequantizeLinear", since=10)
def dequantize_linear(
    build: Build, x: Value, x_scale: Value, x_zero_point: Value | None = None, *,
    axis: int = 1, block_size: int = 0, output_dtype: int = 0,
) -> Value:  # fmt: skip
    to = type_named(build, output_dtype) if output_dtype else None
    return dequantized(build, x, Scale(x_scale, x_zero_point, axis, block_size), to)


@onnx.op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(build: Build, x: Value) -> tuple[Value, ...]:
    """The range of the data and zero onto u8; the scale of nothing but zeros is 1."""
    scale, zero = dynamic_scale(build, x)
    zero = build(ops.Convert(ElementType.u8), zero)
    return quantized(build, x, Scale(scale, zero), ElementType.u8), scale, zero


def dynamic_scale(build: Build, x: Value) -> tuple[Value, Value]:
    """Scale and zero point, both real, that map the range of ``x`` and zero onto u8."""
    every = build(ops.Range(ElementType.i64), build.scalar(0), _rank(build, x), build.scalar(1))
    none = build.scalar(0, _F32)
    low = build(ops.Minimum(), build(ops.ReduceMin(keep_dims=False), x, every), none)
    high = build(ops.Maximum(), build(ops.ReduceMax(keep_dims=False), x, every), none)
    span = build(ops.Divide(), build(ops.Subtract(), high, low), build.scalar(255, _F32))
    scale = build(ops.Select(), build(ops.Equal(), span, none), build.scalar(1, _F32), span)
    zero = build(ops.Round(), build(ops.Divide(), build(ops.Subtract(), none, low), scale))
    return scale, build(ops.Clamp(0, 255), zero)


def _rank(build: Build, x: Value) -> Value:
    if x.fact.rank is not None:
        return build.scalar(x.fact.rank)
    return build(ops.Squeeze(), build(ops.ShapeOf(), build(ops.ShapeOf(), x)), build.ints(0))
