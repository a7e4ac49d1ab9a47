"""Recurrent networks step by step: what the runtime's sequence operations cannot say.

A step has what ONNX's formulas have: gates before their activations, and states ``[batch, hidden]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import elu, hard_sigmoid, leaky_relu, thresholded_relu
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Parameter
from modelbuild.ops.axes import replaced
from modelbuild.tensor.fact import Fact

PLAIN: dict[str, Op] = {
    "sigmoid": ops.Sigmoid(), "tanh": ops.Tanh(), "relu": ops.Relu(), "softsign": ops.SoftSign(),
    "softplus": ops.SoftPlus(),
}  # fmt: skip
PARAMETERS: dict[str, tuple[float, ...]] = {
    "hardsigmoid": (0.2, 0.5), "affine": (1.0, 0.0), "scaledtanh": (1.0, 1.0), "leakyrelu": (0.01,), "elu": (1.0,),
    "thresholdedrelu": (1.0,),
}  # fmt: skip
"""The activations that have parameters, with what these are where nothing is said."""


@dataclass(frozen=True, slots=True)
class Activation:
    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, build: Build, x: Value) -> Value:
        match self.name:
            case "hardsigmoid":
                return hard_sigmoid(build, x, alpha=self.alpha, beta=self.beta)
            case "leakyrelu":
                return leaky_relu(build, x, alpha=self.alpha)
            case "thresholdedrelu":
                return thresholded_relu(build, x, alpha=self.alpha)
            case "elu":
                return elu(build, x, alpha=self.alpha)
            case "affine":
                return build(ops.Add(), _times(build, x, self.alpha), number(build, self.beta, x))
            case "scaledtanh":
                return _times(build, build(ops.Tanh(), _times(build, x, self.beta)), self.alpha)
        return build(PLAIN[self.name], x)


def _times(build: Build, x: Value, factor: float) -> Value:
    return build(ops.Multiply(), x, number(build, factor, x))


States = tuple[Value, ...]
Step = Callable[[Build, Value, States, Sequence[Value]], States]
"""The states after a step, from the input's share of the gates ``[batch, gates * hidden]``, the states before, and
what is the same in every step. The first state is what comes out."""


@dataclass(frozen=True, slots=True)
class Gates:
    """The activations of one direction, and the bound of what enters them."""

    activations: tuple[Activation, ...]
    clip: float

    def __call__(self, build: Build, which: int, x: Value) -> Value:
        bounded = build(ops.Clamp(-self.clip, self.clip), x) if self.clip else x
        return self.activations[which](build, bounded)


def lstm_step(gates: Gates, *, tied: bool) -> Step:
    """``kept`` are R and the peepholes of the input, output and forget gates, if any.

    ``tied`` gates forget what is not taken in.
    """

    def step(build: Build, x: Value, states: States, kept: Sequence[Value]) -> States:
        h, c = states
        r, *holes = kept
        take, out, forget, cell = _split(build, build(ops.Add(), x, _product(build, h, r)), 4)
        at_input, at_output, at_forget = _split(build, holes[0], 3) if holes else (None, None, None)
        take = gates(build, 0, _seeing(build, take, c, at_input))
        if tied:
            forget = build(ops.Subtract(), number(build, 1, take), take)
        else:
            forget = gates(build, 0, _seeing(build, forget, c, at_forget))
        new = build(ops.Multiply(), take, gates(build, 1, cell))
        c = build(ops.Add(), build(ops.Multiply(), forget, c), new)
        out = gates(build, 0, _seeing(build, out, c, at_output))
        return build(ops.Multiply(), out, gates.activations[2](build, c)), c

    return step


def _seeing(build: Build, gate: Value, cell: Value, hole: Value | None) -> Value:
    return gate if hole is None else build(ops.Add(), gate, build(ops.Multiply(), cell, hole))


def gru_step(gates: Gates, *, linear_before_reset: bool) -> Step:
    """``kept`` are R, and the bias of the hidden gate that is added before the reset, if that comes after R."""

    def step(build: Build, x: Value, states: States, kept: Sequence[Value]) -> States:
        (h,), (r, *bias) = states, kept
        xz, xr, xh = _split(build, x, 3)
        rz, rr, rh = build.node(ops.Split(3), r, build.scalar(0)).outputs
        update = gates(build, 0, build(ops.Add(), xz, _product(build, h, rz)))
        reset = gates(build, 0, build(ops.Add(), xr, _product(build, h, rr)))
        if linear_before_reset:
            memory = build(ops.Multiply(), reset, build(ops.Add(), _product(build, h, rh), bias[0]))
        else:
            memory = _product(build, build(ops.Multiply(), reset, h), rh)
        new = gates(build, 1, build(ops.Add(), xh, memory))
        rest = build(ops.Subtract(), number(build, 1, update), update)
        return (build(ops.Add(), build(ops.Multiply(), rest, new), build(ops.Multiply(), update, h)),)

    return step


def rnn_step(gates: Gates) -> Step:
    """``kept`` is R."""

    def step(build: Build, x: Value, states: States, kept: Sequence[Value]) -> States:
        return (gates(build, 0, build(ops.Add(), x, _product(build, states[0], kept[0]))),)

    return step


def _product(build: Build, h: Value, r: Value) -> Value:
    return build(ops.MatMul(transpose_b=True), h, r)


def _split(build: Build, x: Value, count: int) -> tuple[Value, ...]:
    parts: tuple[Value, ...] = build.node(ops.Split(count), x, build.scalar(-1)).outputs
    return parts


def over_time(
    build: Build, x: Value, states: States, kept: Sequence[Value], *, step: Step, live: Value | None, backwards: bool
) -> tuple[Value, States]:
    """What comes out of all steps, ``[batch, time, hidden]``, and the states after the last.

    ``x`` is ``[batch, time, input]``; the first two of what is ``kept`` are W and the bias. Where ``live``, ``[batch,
    time, 1]``, does not hold, states stay what they are and zeros come out.

    W is multiplied in every step and not with all of ``x`` before: the CPU plugin adds products to a slice in place,
    takes that for the state, and cuts the next slice before it has read it.
    """
    cut = [x] if live is None else [x, live]
    parts = [_parameter(build, Fact(v.fact.dtype, replaced(v.fact.shape or (), 1, 1))) for v in cut]
    before = [_parameter(build, v.fact) for v in states]
    same = [_parameter(build, v.fact) for v in kept]
    time = build.ints(1)
    now, *alive = (build(ops.Squeeze(), part, time) for part in parts)
    w, bias, *rest = same
    after = step(build, build(ops.Add(), _product(build, now, w), bias), tuple(before), rest)
    shown = after[0]
    if alive:
        shown = build(ops.Select(), alive[0], shown, number(build, 0, shown))
        after = tuple(build(ops.Select(), alive[0], new, old) for new, old in zip(after, before, strict=True))
    body = Graph([*parts, *before, *same], [build(ops.Unsqueeze(), shown, time), *after], name=build.layer)
    ways = (-1, 0, -1) if backwards else (0, -1, 1)
    first = len(cut)
    op = ops.TensorIterator(
        body,
        (
            *(ops.Sliced(i, 1, *ways) for i in range(first)),
            *(ops.Merged(first + i, 1 + i) for i in range(len(states))),
            *(ops.Invariant(first + len(states) + i) for i in range(len(same))),
        ),
        (ops.Stacked(0, 1, *ways), *(ops.Last(1 + i) for i in range(len(states)))),
    )
    every, *last = build.node(op, *cut, *states, *kept).outputs
    return every, tuple(last)


def _parameter(build: Build, fact: Fact) -> Value:
    return Node(Parameter(fact.dtype, fact.shape), (), f"{build.layer}/Parameter", build.origin).output
