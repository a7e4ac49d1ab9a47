"""ONNX optimisers: one step of training for any number of tensors.

``r`` is the learning rate, ``t`` the number of steps made so far. The other inputs come in groups as long as there are
tensors to train: first the tensors themselves, then their gradients, then what is remembered from step to step.
"""

from __future__ import annotations

from collections.abc import Callable

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Value

TRAINING = "ai.onnx.preview.training"

Step = Callable[..., tuple[Value, ...]]
"""From a tensor, its gradient and what is remembered of both to the new tensor and what to remember."""


@onnx.op("Adagrad", domain=TRAINING)
def adagrad(
    build: Build, r: Value, t: Value, *tensors: Value,
    decay_factor: float = 0.0, epsilon: float = 1e-6, norm_coefficient: float = 0.0,
) -> tuple[Value, ...]:  # fmt: skip
    decay = _plus(build, _times(build, converted(build, t, r.fact.dtype), decay_factor), 1)
    rate = build(ops.Divide(), r, decay)

    def step(x: Value, gradient: Value, squares: Value) -> tuple[Value, ...]:
        slope = _regularised(build, x, gradient, norm_coefficient)
        squares = _plus(build, squares, _times(build, slope, slope))
        return _moved(build, x, _times(build, rate, slope), _root(build, squares, epsilon)), squares

    return _all(step, tensors, 3)


@onnx.op("Adam", domain=TRAINING)
def adam(
    build: Build, r: Value, t: Value, *tensors: Value, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 1e-6,
    norm_coefficient: float = 0.0, norm_coefficient_post: float = 0.0,
) -> tuple[Value, ...]:  # fmt: skip
    rate = _unbiased(build, r, t, alpha, beta)

    def step(x: Value, gradient: Value, mean: Value, squares: Value) -> tuple[Value, ...]:
        slope = _regularised(build, x, gradient, norm_coefficient)
        mean = _mixed(build, mean, slope, alpha)
        squares = _mixed(build, squares, _times(build, slope, slope), beta)
        moved = _moved(build, x, _times(build, rate, mean), _root(build, squares, epsilon))
        return _times(build, moved, 1 - norm_coefficient_post), mean, squares

    return _all(step, tensors, 4)


@onnx.op("Momentum", domain=TRAINING)
def momentum(
    build: Build, r: Value, t: Value, *tensors: Value,
    alpha: float, beta: float, mode: str, norm_coefficient: float,
) -> tuple[Value, ...]:  # fmt: skip
    if mode not in {"standard", "nesterov"}:
        raise ValueError(f"mode is {mode!r}, neither standard nor nesterov")
    begun = build(ops.Greater(), t, number(build, 0, t))
    share = build(ops.Select(), begun, number(build, beta, r), number(build, 1, r))

    def step(x: Value, gradient: Value, velocity: Value) -> tuple[Value, ...]:
        slope = _regularised(build, x, gradient, norm_coefficient)
        velocity = _plus(build, _times(build, velocity, alpha), _times(build, share, slope))
        ahead = velocity if mode == "standard" else _plus(build, slope, _times(build, velocity, alpha))
        return build(ops.Subtract(), x, _times(build, r, ahead)), velocity

    return _all(step, tensors, 3)


def _all(step: Step, tensors: tuple[Value, ...], groups: int) -> tuple[Value, ...]:
    """The outputs of a step for each tensor, in groups again: all tensors, then all of what is remembered first, …"""
    count, rest = divmod(len(tensors), groups)
    if rest or not count:
        raise ValueError(f"{len(tensors)} tensors are given, they come in groups of {groups}")
    steps = [step(*tensors[i::count]) for i in range(count)]
    return tuple(value for group in zip(*steps, strict=True) for value in group)


def _unbiased(build: Build, r: Value, t: Value, alpha: float, beta: float) -> Value:
    """The learning rate, corrected for means that began as zero: r sqrt(1 - beta^t) / (1 - alpha^t), r for t = 0."""
    steps = converted(build, t, r.fact.dtype)
    one = number(build, 1, r)
    left, spread = (
        build(ops.Subtract(), one, build(ops.Power(), number(build, share, r), steps)) for share in (alpha, beta)
    )
    corrected = build(ops.Divide(), _times(build, r, build(ops.Sqrt(), spread)), left)
    return build(ops.Select(), build(ops.Greater(), t, number(build, 0, t)), corrected, r)


def _regularised(build: Build, x: Value, gradient: Value, share: float) -> Value:
    """The gradient with that of ``share / 2`` of the squared length of ``x``."""
    return _plus(build, _times(build, x, share), gradient) if share else gradient


def _mixed(build: Build, old: Value, new: Value, share: float) -> Value:
    return _plus(build, _times(build, old, share), _times(build, new, 1 - share))


def _root(build: Build, squares: Value, epsilon: float) -> Value:
    return _plus(build, build(ops.Sqrt(), squares), epsilon)


def _moved(build: Build, x: Value, way: Value, by: Value) -> Value:
    return build(ops.Subtract(), x, build(ops.Divide(), way, by))


def _plus(build: Build, a: Value, b: Value | float) -> Value:
    return build(ops.Add(), a, b if isinstance(b, Value) else number(build, b, a))


def _times(build: Build, a: Value, b: Value | float) -> Value:
    return build(ops.Multiply(), a, b if isinstance(b, Value) else number(build, b, a))
