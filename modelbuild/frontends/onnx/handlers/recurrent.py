"""ONNX recurrent networks.

ONNX has time first, [time, batch, input], unless ``layout`` is 1, the gates of an LSTM in the order input, output,
forget, cell, and a bias for the input and one for the recurrence. ``output_sequence``, which the oldest versions have,
says only whether Y is wanted, which the node's outputs say too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Ints, Strings
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.frontends.onnx.steps import (
    PARAMETERS,
    PLAIN,
    Activation,
    Gates,
    Step,
    gru_step,
    lstm_step,
    over_time,
    rnn_step,
)
from modelbuild.graph import Value
from modelbuild.ops.recurrent import ACTIVATIONS
from modelbuild.tensor.dtype import ElementType

Functions = tuple[Activation, ...]
"""The activations of a direction."""


@dataclass(frozen=True)
class _Layer:
    """The inputs and attributes that all recurrent operators have."""

    build: Build
    x: Value
    w: Value
    r: Value
    b: Value | None
    lengths: Value | None
    activations: Strings
    alpha: Floats
    beta: Floats
    clip: float
    direction: str
    hidden_size: int | None
    layout: int

    @cached_property
    def hidden(self) -> int:
        shape = self.r.fact.shape
        found = shape[-1] if shape else None
        if not isinstance(found, int):
            raise self.build.refuse("its hidden size is unknown")
        if self.hidden_size not in {None, found}:
            raise ValueError(f"a hidden size of {self.hidden_size}, but R is {self.r.fact}")
        return found

    @cached_property
    def way(self) -> ops.Direction:
        return ops.Direction(self.direction.lower())

    @property
    def directions(self) -> int:
        return 2 if self.way is ops.Direction.BIDIRECTIONAL else 1

    @cached_property
    def data(self) -> Value:
        """X with the batch first."""
        return self.x if self.layout else _transpose(self.build, self.x, 1, 0, 2)

    @cached_property
    def shape(self) -> Value:
        return self.build(ops.ShapeOf(), self.data)

    @cached_property
    def batch(self) -> Value:
        return self._extent(0)

    def _extent(self, axis: int) -> Value:
        return self.build(ops.Gather(), self.shape, self.build.ints(axis), self.build.scalar(0))

    def state(self, initial: Value | None) -> Value:
        """[batch, directions, hidden], zeros where it is not given."""
        if initial is not None:
            return initial if self.layout else _transpose(self.build, initial, 1, 0, 2)
        zero = self.build.scalar(0, self.x.fact.dtype)
        extents = self.build(ops.Concat(0), self.batch, self.build.ints(self.directions, self.hidden))
        return self.build(ops.Broadcast(), zero, extents)

    def all_lengths(self) -> Value:
        """As many steps as there are, unless lengths are given: runtimes know this form."""
        if self.lengths is not None:
            return self.lengths
        return self.build(ops.Broadcast(), self._extent(1), self.batch)

    def ordered(self, rows: Value, order: Ints) -> Value:
        """The gates, which are rows on axis 1, in another order."""
        gates = self.build.node(ops.Split(len(order)), rows, self.build.scalar(1)).outputs
        return self.build(ops.Concat(1), *(gates[i] for i in order))

    def biases(self, gates: int) -> tuple[Value, Value]:
        """Those of the input and those of the recurrence."""
        if self.b is None:
            none = self.build.const(np.zeros((self.directions, gates * self.hidden), self.x.fact.dtype.numpy))
            return none, none
        of_input, of_recurrence = self.build.node(ops.Split(2), self.b, self.build.scalar(1)).outputs
        return of_input, of_recurrence

    def functions(self, default: Strings) -> list[Functions]:
        """The activations of each direction.

        ONNX gives parameters one after the other to the activations that have some, of both directions.
        """
        names = tuple(name.lower() for name in self.activations) or default * self.directions
        if unknown := sorted(set(names) - PLAIN.keys() - PARAMETERS.keys()):
            known = ", ".join(sorted(PLAIN.keys() | PARAMETERS.keys()))
            raise self.build.refuse(f"its activations {', '.join(unknown)} are not among {known}")
        count = len(default)
        if len(names) < count * self.directions:
            raise ValueError(f"{len(names)} activations, {count * self.directions} expected")
        alphas, betas = iter(self.alpha), iter(self.beta)
        made: list[Activation] = []
        for name in names:
            usual = PARAMETERS.get(name, ())
            taken = zip((alphas, betas)[: len(usual)], usual, strict=True)
            made.append(Activation(name, *(next(numbers, otherwise) for numbers, otherwise in taken)))
        return [tuple(made[i * count : (i + 1) * count]) for i in range(self.directions)]

    def is_one_operation(self, functions: list[Functions]) -> bool:
        """Whether the runtime's sequence knows the activations, which it has in both directions alike."""
        return len(set(functions)) == 1 and all(f.name in ACTIVATIONS for f in functions[0])

    def spelled_out(
        self, steps: list[Step], states: list[Value], biases: Value, kept: list[Value]
    ) -> tuple[Value, ...]:
        """:meth:`results` of one loop a direction; everything has its directions on axis 0, states on axis 1."""
        build, live, made = self.build, self._live(), []
        for i, step in enumerate(steps):
            same = [_one(build, v, i, 0) for v in (self.w, biases, *kept)]
            initial = tuple(_one(build, state, i, 1) for state in states)
            backwards = i == 1 or self.way is ops.Direction.REVERSE
            every, last = over_time(build, self.data, initial, same, step=step, live=live, backwards=backwards)
            made.append([build(ops.Unsqueeze(), v, build.ints(1)) for v in (every, *last)])
        return self.results(*(build(ops.Concat(1), *both) for both in zip(*made, strict=True)))

    def _live(self) -> Value | None:
        """Which steps of which sequences there are, ``[batch, time, 1]``, where lengths are given."""
        if self.lengths is None:
            return None
        build = self.build
        time = build(ops.Squeeze(), self._extent(1), build.ints(0))
        places = build(ops.Range(ElementType.i64), build.scalar(0), time, build.scalar(1))
        ends = build(ops.Unsqueeze(), converted(build, self.lengths, ElementType.i64), build.ints(1))
        return build(ops.Unsqueeze(), build(ops.Less(), places, ends), build.ints(2))

    def results(self, every: Value, *states: Value) -> tuple[Value, ...]:
        """Y and the last states as ONNX has them."""
        if self.layout:
            return (_transpose(self.build, every, 0, 2, 1, 3), *states)
        return (
            _transpose(self.build, every, 2, 1, 0, 3),
            *(_transpose(self.build, state, 1, 0, 2) for state in states),
        )


def _one(build: Build, x: Value, direction: int, axis: int) -> Value:
    return build(ops.Gather(), x, build.scalar(direction), build.scalar(axis))


def _transpose(build: Build, x: Value, *order: int) -> Value:
    return build(ops.Transpose(), x, build.ints(*order))


@onnx.op("LSTM", since=1)
def lstm(
    build: Build, x: Value, w: Value, r: Value, b: Value | None = None, sequence_lens: Value | None = None,
    initial_h: Value | None = None, initial_c: Value | None = None, p: Value | None = None, *,
    activation_alpha: Floats = (), activation_beta: Floats = (), activations: Strings = (), clip: float = 0.0,
    direction: str = "forward", hidden_size: int | None = None, input_forget: int = 0, layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    layer = _Layer(
        build, x, w, r, b, sequence_lens, activations, activation_alpha, activation_beta, clip, direction, hidden_size,
        layout,
    )  # fmt: skip
    functions = layer.functions(("sigmoid", "tanh", "tanh"))
    states = [layer.state(initial_h), layer.state(initial_c)]
    bias = build(ops.Add(), *layer.biases(4))
    holes = [] if p is None or _is_zero(p) else [p]
    if holes or input_forget or not layer.is_one_operation(functions):
        steps = [lstm_step(Gates(f, clip), tied=bool(input_forget)) for f in functions]
        return layer.spelled_out(steps, states, bias, [r, *holes])
    order = (2, 0, 3, 1)  # input, output, forget, cell -> forget, input, cell, output
    op = ops.LSTMSequence(layer.hidden, *_named(functions[0]), clip=clip, direction=layer.way)
    made = build.node(
        op, layer.data, *states, layer.all_lengths(),
        layer.ordered(w, order), layer.ordered(r, order), layer.ordered(bias, order),
    )  # fmt: skip
    return layer.results(*made.outputs)


@onnx.op("GRU", since=3)
def gru(
    build: Build, x: Value, w: Value, r: Value, b: Value | None = None, sequence_lens: Value | None = None,
    initial_h: Value | None = None, *,
    activation_alpha: Floats = (), activation_beta: Floats = (), activations: Strings = (), clip: float = 0.0,
    direction: str = "forward", hidden_size: int | None = None, linear_before_reset: int = 0, layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    """The hidden gate has two biases where the reset comes after the product with R."""
    layer = _Layer(
        build, x, w, r, b, sequence_lens, activations, activation_alpha, activation_beta, clip, direction, hidden_size,
        layout,
    )  # fmt: skip
    functions = layer.functions(("sigmoid", "tanh"))
    of_input, of_recurrence = layer.biases(3)
    apart: list[Value] = []
    if linear_before_reset:
        axis = build.scalar(1)
        wz, wr, wh = build.node(ops.Split(3), of_input, axis).outputs
        rz, rr, rh = build.node(ops.Split(3), of_recurrence, axis).outputs
        bias, apart = build(ops.Concat(1), build(ops.Add(), wz, rz), build(ops.Add(), wr, rr), wh), [rh]
    else:
        bias = build(ops.Add(), of_input, of_recurrence)
    if not layer.is_one_operation(functions):
        steps = [gru_step(Gates(f, clip), linear_before_reset=bool(linear_before_reset)) for f in functions]
        return layer.spelled_out(steps, [layer.state(initial_h)], bias, [r, *apart])
    op = ops.GRUSequence(
        layer.hidden, *_named(functions[0]), clip=clip, direction=layer.way,
        linear_before_reset=bool(linear_before_reset),
    )  # fmt: skip
    bias = build(ops.Concat(1), bias, *apart) if apart else bias
    made = build.node(op, layer.data, layer.state(initial_h), layer.all_lengths(), w, r, bias)
    return layer.results(*made.outputs)


@onnx.op("RNN", since=1)
def rnn(
    build: Build, x: Value, w: Value, r: Value, b: Value | None = None, sequence_lens: Value | None = None,
    initial_h: Value | None = None, *,
    activation_alpha: Floats = (), activation_beta: Floats = (), activations: Strings = ("Tanh", "Tanh"),
    clip: float = 0.0, direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Value, ...]:  # fmt: skip
    """The default names an activation for each of two directions, whether there are two or not."""
    layer = _Layer(
        build, x, w, r, b, sequence_lens, activations, activation_alpha, activation_beta, clip, direction, hidden_size,
        layout,
    )  # fmt: skip
    functions = layer.functions(("tanh",))
    bias = build(ops.Add(), *layer.biases(1))
    if not layer.is_one_operation(functions):
        return layer.spelled_out([rnn_step(Gates(f, clip)) for f in functions], [layer.state(initial_h)], bias, [r])
    op = ops.RNNSequence(layer.hidden, *_named(functions[0]), clip=clip, direction=layer.way)
    made = build.node(op, layer.data, layer.state(initial_h), layer.all_lengths(), w, r, bias)
    return layer.results(*made.outputs)


def _named(functions: Functions) -> tuple[Strings, Floats, Floats]:
    """The activations as an operation has them: their names, and their parameters where any has some."""
    names = tuple(f.name for f in functions)
    if not PARAMETERS.keys() & names:
        return names, (), ()
    return names, tuple(f.alpha for f in functions), tuple(f.beta for f in functions)


def _is_zero(value: Value) -> bool:
    return value.fact.value is not None and not value.fact.value.numpy().any()
