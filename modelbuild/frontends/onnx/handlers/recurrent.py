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
from modelbuild.graph import Value
from modelbuild.ops.recurrent import ACTIVATIONS

_HARD_SIGMOID = (0.2, 0.5)


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

    def functions(self, default: Strings) -> tuple[Strings, Floats, Floats]:
        """The activations of a direction with their parameters, where any of them has some.

        ONNX gives parameters one after the other to the activations that have some, of both directions.
        """
        names = tuple(name.lower() for name in self.activations) or default * self.directions
        if unknown := sorted(set(names) - ACTIVATIONS):
            known = ", ".join(sorted(ACTIVATIONS))
            raise self.build.refuse(f"its activations {', '.join(unknown)} are not among {known}")
        alphas, betas = iter(self.alpha), iter(self.beta)
        parameters = [
            (next(alphas, _HARD_SIGMOID[0]), next(betas, _HARD_SIGMOID[1])) if name == "hardsigmoid" else (0.0, 0.0)
            for name in names
        ]
        count = len(default)
        both = list(zip(names, parameters, strict=True))
        if len(both) < count * self.directions:
            raise ValueError(f"{len(names)} activations, {count * self.directions} expected")
        if self.directions == 2 and both[:count] != both[count : 2 * count]:
            raise self.build.refuse("its directions have different activations")
        if "hardsigmoid" not in names:
            return names[:count], (), ()
        return names[:count], tuple(a for a, _ in parameters[:count]), tuple(b for _, b in parameters[:count])

    def results(self, every: Value, *states: Value) -> tuple[Value, ...]:
        """Y and the last states as ONNX has them."""
        if self.layout:
            return (_transpose(self.build, every, 0, 2, 1, 3), *states)
        return (
            _transpose(self.build, every, 2, 1, 0, 3),
            *(_transpose(self.build, state, 1, 0, 2) for state in states),
        )


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
    if p is not None and not _is_zero(p):
        raise build.refuse("it has peepholes")
    if input_forget:
        raise build.refuse("its forget gate is tied to its input gate")
    functions = layer.functions(("sigmoid", "tanh", "tanh"))
    order = (2, 0, 3, 1)  # input, output, forget, cell -> forget, input, cell, output
    op = ops.LSTMSequence(layer.hidden, *functions, clip=clip, direction=layer.way)
    made = build.node(
        op, layer.data, layer.state(initial_h), layer.state(initial_c), layer.all_lengths(),
        layer.ordered(w, order), layer.ordered(r, order),
        layer.ordered(build(ops.Add(), *layer.biases(4)), order),
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
    of_input, of_recurrence = layer.biases(3)
    if linear_before_reset:
        axis = build.scalar(1)
        wz, wr, wh = build.node(ops.Split(3), of_input, axis).outputs
        rz, rr, rh = build.node(ops.Split(3), of_recurrence, axis).outputs
        bias = build(ops.Concat(1), build(ops.Add(), wz, rz), build(ops.Add(), wr, rr), wh, rh)
    else:
        bias = build(ops.Add(), of_input, of_recurrence)
    op = ops.GRUSequence(
        layer.hidden, *layer.functions(("sigmoid", "tanh")), clip=clip, direction=layer.way,
        linear_before_reset=bool(linear_before_reset),
    )  # fmt: skip
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
    op = ops.RNNSequence(layer.hidden, *layer.functions(("tanh",)), clip=clip, direction=layer.way)
    bias = build(ops.Add(), *layer.biases(1))
    made = build.node(op, layer.data, layer.state(initial_h), layer.all_lengths(), w, r, bias)
    return layer.results(*made.outputs)


def _is_zero(value: Value) -> bool:
    return value.fact.value is not None and not value.fact.value.numpy().any()
