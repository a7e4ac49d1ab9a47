"""ONNX activation functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, extents, number, shape_of
from modelbuild.graph import Op, Value
from modelbuild.ops import GeluForm
from modelbuild.tensor.dtype import ElementType

MICROSOFT = "com.microsoft"

ACTIVATIONS: dict[str, tuple[int, Op]] = {
    "Relu": (1, ops.Relu()), "Sigmoid": (1, ops.Sigmoid()), "Softplus": (1, ops.SoftPlus()),
    "Softsign": (1, ops.SoftSign()), "HardSwish": (14, ops.HSwish()), "Mish": (18, ops.Mish()),
}  # fmt: skip


def _plain(op: Op) -> Callable[[Build, Value], Value]:
    return lambda build, x: build(op, x)


for _name, (_since, _op) in ACTIVATIONS.items():
    onnx.op(_name, since=_since)(_plain(_op))


@onnx.op("LeakyRelu")
def leaky_relu(build: Build, x: Value, *, alpha: float = 0.01) -> Value:
    return build(ops.PRelu(), x, build.const(np.array([alpha]).astype(x.fact.dtype.numpy)))


@onnx.op("PRelu")
def prelu_of_channels(build: Build, x: Value, slope: Value) -> Value:
    """A list of slopes has one a channel, as in the operation itself."""
    return build(ops.PRelu(), x, slope)


@onnx.op("PRelu", since=7)
def prelu(build: Build, x: Value, slope: Value) -> Value:
    """A list of slopes belongs to the last axis."""
    if slope.fact.rank == 1 and slope.fact.shape != (1,):
        missing = build.rank(x, "X") - 1
        slope = build(ops.Unsqueeze(), slope, build.ints(*range(missing))) if missing else slope
    return build(ops.PRelu(), x, slope)


@onnx.op("Elu")
def elu(build: Build, x: Value, *, alpha: float = 1.0) -> Value:
    return build(ops.Elu(alpha), x)


@onnx.op("Celu", since=12)
def celu(build: Build, x: Value, *, alpha: float = 1.0) -> Value:
    if alpha == 1.0:
        return build(ops.Elu(1.0), x)
    scale = number(build, alpha, x)
    return build(ops.Multiply(), build(ops.Elu(1.0), build(ops.Divide(), x, scale)), scale)


@onnx.op("Selu")
def selu(build: Build, x: Value, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Value:
    return build(ops.Selu(), x, number(build, alpha, x), number(build, gamma, x))


@onnx.op("HardSigmoid")
def hard_sigmoid(build: Build, x: Value, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    return build(ops.HardSigmoid(), x, number(build, alpha, x), number(build, beta, x))


@onnx.op("ThresholdedRelu", since=10)
def thresholded_relu(build: Build, x: Value, *, alpha: float = 1.0) -> Value:
    return build(ops.Select(), build(ops.Greater(), x, number(build, alpha, x)), x, number(build, 0, x))


@onnx.op("Shrink", since=9)
def shrink(build: Build, x: Value, *, bias: float = 0.0, lambd: float = 0.5) -> Value:
    """Integers are shrunk as real numbers and then cut off."""
    real = x if x.fact.dtype.is_real else converted(build, x, ElementType.f32)
    shift = number(build, bias, real)
    below = build(ops.Less(), real, number(build, -lambd, real))
    above = build(ops.Greater(), real, number(build, lambd, real))
    rest = build(ops.Select(), above, build(ops.Subtract(), real, shift), number(build, 0, real))
    return converted(build, build(ops.Select(), below, build(ops.Add(), real, shift), rest), x.fact.dtype)


@onnx.op("Gelu", since=20)
def gelu(build: Build, x: Value, *, approximate: str = "none") -> Value:
    if approximate not in {"none", "tanh"}:
        raise ValueError(f"approximate is {approximate!r}, neither none nor tanh")
    return build(ops.Gelu(GeluForm.TANH if approximate == "tanh" else GeluForm.ERF), x)


@onnx.op("Swish", since=24)
def swish(build: Build, x: Value, *, alpha: float = 1.0) -> Value:
    return build(ops.Swish(), x) if alpha == 1.0 else build(ops.Swish(), x, number(build, alpha, x))


@onnx.op("Gelu", domain=MICROSOFT)
def gelu_microsoft(build: Build, x: Value) -> Value:
    return build(ops.Gelu(GeluForm.ERF), x)


@onnx.op("BiasGelu", domain=MICROSOFT)
def bias_gelu(build: Build, x: Value, bias: Value) -> Value:
    return build(ops.Gelu(GeluForm.ERF), build(ops.Add(), x, bias))


@onnx.op("FastGelu", domain=MICROSOFT)
def fast_gelu(build: Build, x: Value, bias: Value | None = None) -> Value:
    return build(ops.Gelu(GeluForm.TANH), x if bias is None else build(ops.Add(), x, bias))


@onnx.op("QuickGelu", domain=MICROSOFT)
def quick_gelu(build: Build, x: Value, *, alpha: float = 1.702) -> Value:
    return swish(build, x, alpha=alpha)


# --- cut to a range --------------------------------------------------------------------------------------------------


@onnx.op("Clip")
def clip_to(
    build: Build, x: Value, *, max: float = 3.4028234663852886e38, min: float = -3.4028234663852886e38,  # noqa: A002
) -> Value:  # fmt: skip
    """These limits are real numbers of single precision, which the type of ``x`` need not reach."""
    if min <= max:
        return build(ops.Clamp(min, max), x)
    return clip(build, x, number(build, min, x), number(build, max, x))


@onnx.op("Clip", since=11)
def clip(build: Build, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    """A Clamp where both limits are known; where they cross, everything becomes the upper one."""
    dtype = x.fact.dtype
    least, most = (_known(v, default) for v, default in ((low, -np.inf), (high, np.inf)))
    if dtype.is_real and least is not None and most is not None and least <= most:
        return build(ops.Clamp(least, most), x)
    y = x if low is None else build(ops.Maximum(), x, low)
    return y if high is None else build(ops.Minimum(), y, high)


def _known(limit: Value | None, default: float) -> float | None:
    if limit is None:
        return default
    return None if limit.fact.value is None else float(limit.fact.value.numpy().reshape(())[()])


# --- along an axis ---------------------------------------------------------------------------------------------------


@onnx.op("Softmax")
def softmax_of_matrix(build: Build, x: Value, *, axis: int = 1) -> Value:
    return along_the_rest(build, x, axis, lambda y, at: build(ops.Softmax(at), y))


@onnx.op("Softmax", since=13)
def softmax(build: Build, x: Value, *, axis: int = -1) -> Value:
    return build(ops.Softmax(_front(x, axis)), x)


@onnx.op("LogSoftmax")
def log_softmax_of_matrix(build: Build, x: Value, *, axis: int = 1) -> Value:
    return along_the_rest(build, x, axis, lambda y, at: build(ops.LogSoftmax(at), y))


@onnx.op("LogSoftmax", since=13)
def log_softmax(build: Build, x: Value, *, axis: int = -1) -> Value:
    return build(ops.LogSoftmax(_front(x, axis)), x)


@onnx.op("Hardmax")
def hardmax_of_matrix(build: Build, x: Value, *, axis: int = 1) -> Value:
    return along_the_rest(build, x, axis, lambda y, at: hardmax(build, y, axis=at))


@onnx.op("Hardmax", since=13)
def hardmax(build: Build, x: Value, *, axis: int = -1) -> Value:
    """One at the first of the greatest elements, zero elsewhere."""
    rank = build.rank(x)
    axis = build.axis(axis, rank)
    best = build.node(ops.TopK(axis, "max", "value", ElementType.i64), x, build.scalar(1)).outputs[1]
    count = build(ops.Squeeze(), extents(build, x, axis), build.ints(0))
    places = build(ops.Range(ElementType.i64), build.scalar(0), count, build.scalar(1))
    upright = build(ops.Reshape(special_zero=False), places, build.ints(-1, *[1] * (rank - 1 - axis)))
    return converted(build, build(ops.Equal(), upright, best), x.fact.dtype)


def _front(x: Value, axis: int) -> int:
    return axis if x.fact.rank is None or axis >= 0 else axis + x.fact.rank


def along_the_rest(build: Build, x: Value, axis: int, apply: Callable[[Value, int], Value]) -> Value:
    """``apply`` along ``axis`` and all that follow it as if they were one, as operator sets before 13 mean it."""
    rank = build.rank(x)
    axis = build.axis(axis, rank) if axis != rank else rank
    if axis < rank and all(d == 1 for d in (x.fact.shape or ())[axis + 1 :]):
        return apply(x, axis)
    flat = build(ops.Reshape(special_zero=True), x, build.ints(*[0] * axis, -1))
    return build(ops.Reshape(special_zero=False), apply(flat, axis), shape_of(build, x))
