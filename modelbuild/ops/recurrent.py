"""Recurrent cells and the sequences that run them over time.

Shapes: X [batch, time, input], states [batch, directions, hidden], lengths [batch], W [directions, gates * hidden,
input], R [directions, gates * hidden, hidden], B [directions, gates * hidden]. Cells have neither time nor directions.
Gates stand in the order forget, input, cell, output (LSTM) and update, reset, hidden (GRU).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, merge_dim

State = tuple[Array, ...]
Weights = tuple[Array, Array, Array]  # W, R and B of one direction
Gate = Callable[[int, Array], Array]


class Direction(StrEnum):
    FORWARD = "forward"
    REVERSE = "reverse"
    BIDIRECTIONAL = "bidirectional"


def _lstm(gate: Gate, x: Array, state: State, weights: Weights) -> State:
    (h, c), (w, r, b) = state, weights
    forget, take, cell, out = np.split(x @ w.T + h @ r.T + b, 4, axis=-1)
    kept = gate(0, forget) * c + gate(0, take) * gate(1, cell)
    return gate(0, out) * gate(2, kept), kept


def _gru(gate: Gate, x: Array, state: State, weights: Weights) -> State:
    """A fourth row of biases is the one that is added before the reset."""
    (h,), (w, r, b) = state, weights
    hidden = h.shape[-1]
    xz, xr, xh = np.split(x @ w.T, 3, axis=-1)
    bz, br, bh, *before_reset = np.split(b, b.shape[-1] // hidden, axis=-1)
    rz, rr, rh = np.split(r, 3)
    update = gate(0, xz + h @ rz.T + bz)
    reset = gate(0, xr + h @ rr.T + br)
    memory = reset * (h @ rh.T + before_reset[0]) if before_reset else (reset * h) @ rh.T
    return ((1 - update) * gate(1, xh + memory + bh) + update * h,)


def _rnn(gate: Gate, x: Array, state: State, weights: Weights) -> State:
    (h,), (w, r, b) = state, weights
    return (gate(0, x @ w.T + h @ r.T + b),)


_ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "sigmoid": lambda x, _a, _b: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, _a, _b: np.tanh(x),
    "relu": lambda x, _a, _b: np.maximum(x, 0),
    "hardsigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1).astype(x.dtype),
}
ACTIVATIONS = frozenset(_ACTIVATIONS)
"""The names that a runtime knows."""


class _Recurrent(Op, frozen=True):
    """What cells and sequences share: activations by name with their parameters, and a bound for what enters gates."""

    hidden_size: int
    activations: tuple[str, ...]
    activations_alpha: tuple[float, ...] = ()
    activations_beta: tuple[float, ...] = ()
    clip: float = 0.0

    states: ClassVar[int] = 1
    gates: ClassVar[int] = 1

    def step(self, x: Array, state: State, weights: Weights) -> State:
        """The states [batch, hidden] after one step with ``x`` [batch, input]."""
        raise NotImplementedError

    @property
    def bias_rows(self) -> int:
        return self.gates

    def check_weights(self, w: Fact, r: Fact, b: Fact) -> None:
        for name, fact, rows, axis in (
            ("W", w, self.gates, -2),
            ("R", r, self.gates, -2),
            ("B", b, self.bias_rows, -1),
        ):
            if fact.rank is not None and fact.rank < -axis:
                raise ValueError(f"{name} is {fact}, at least {-axis} axes expected")
            found = fact.shape[axis] if fact.shape else UNKNOWN
            expected = rows * self.hidden_size
            if isinstance(found, int) and found != expected:
                raise ValueError(f"{name} is {fact}, {expected} rows expected for a hidden size of {self.hidden_size}")

    def gate(self, which: int, x: Array) -> Array:
        """Activation ``which`` of the bounded ``x``; the state of an LSTM's cell (activation 2) has no bound."""
        x = np.clip(x, -self.clip, self.clip) if self.clip and which < 2 else x
        alpha, beta = (
            given[which] if which < len(given) else 0.0 for given in (self.activations_alpha, self.activations_beta)
        )
        return _ACTIVATIONS[self.activations[which]](x, alpha, beta)


class _Cell(_Recurrent, frozen=True):
    """Inputs: X, the states, W, R, B. Outputs: the states after."""

    def infer(self, x: Fact, *rest: Fact) -> Fact | tuple[Fact, ...]:
        state, (w, r, b) = rest[: self.states], rest[self.states :]
        self.check_weights(w, r, b)
        batch = _merge(_axis(x, 0, 2), *(_axis(s, 0, 2) for s in state))
        made = tuple(Fact(x.dtype, (batch, self.hidden_size)) for _ in range(self.states))
        return made if self.states > 1 else made[0]

    def evaluate(self, x: Array, *rest: Array) -> Array | tuple[Array, ...]:
        state, (w, r, b) = rest[: self.states], rest[self.states :]
        made = self.step(x, state, (w, r, b))
        return made if self.states > 1 else made[0]


class LSTMCell(_Cell, frozen=True):
    version: ClassVar[str] = "opset4"
    states: ClassVar[int] = 2
    gates: ClassVar[int] = 4

    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _lstm(self.gate, x, state, weights)


class GRUCell(_Cell, frozen=True):
    linear_before_reset: bool = False

    version: ClassVar[str] = "opset3"
    gates: ClassVar[int] = 3

    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _gru(self.gate, x, state, weights)

    @property
    def bias_rows(self) -> int:
        return 4 if self.linear_before_reset else 3


class RNNCell(_Cell, frozen=True):
    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _rnn(self.gate, x, state, weights)


class _Sequence(_Recurrent, frozen=True):
    """Inputs: X, the states, lengths, W, R, B. Outputs: hidden states of all times, the last states.

    Behind the end of a sequence the outputs are zero; the last states are those at its end.
    """

    direction: Direction = Direction.FORWARD

    version: ClassVar[str] = "opset5"

    @property
    def directions(self) -> int:
        return 2 if self.direction is Direction.BIDIRECTIONAL else 1

    def infer(self, x: Fact, *rest: Fact) -> tuple[Fact, ...]:
        state, (lengths, w, r, b) = rest[: self.states], rest[self.states :]
        self.check_weights(w, r, b)
        for name, found in (("state", _axis(state[0], 1, 3)), ("W", _axis(w, 0, 3)), ("R", _axis(r, 0, 3))):
            if isinstance(found, int) and found != self.directions:
                raise ValueError(f"{name} is for {found} directions, not {self.directions}")
        batch = _merge(_axis(x, 0, 3), *(_axis(s, 0, 3) for s in state), _axis(lengths, 0, 1))
        every = Fact(x.dtype, (batch, self.directions, _axis(x, 1, 3), self.hidden_size))
        last = Fact(x.dtype, (batch, self.directions, self.hidden_size))
        return every, *(last for _ in range(self.states))

    def evaluate(self, x: Array, *rest: Array) -> tuple[Array, ...]:
        state, (lengths, w, r, b) = rest[: self.states], rest[self.states :]
        every, finals = [], []
        for d in range(self.directions):
            backwards = self.direction is Direction.REVERSE or d == 1
            here = tuple(s[:, d] for s in state)
            y, final = self._unroll(x, here, lengths, (w[d], r[d], b[d]), backwards=backwards)
            every.append(y)
            finals.append(final)
        return (np.stack(every, 1), *(np.stack([f[i] for f in finals], 1) for i in range(self.states)))

    def _unroll(
        self, x: Array, state: State, lengths: Array, weights: Weights, *, backwards: bool
    ) -> tuple[Array, State]:
        y = np.zeros((*x.shape[:2], self.hidden_size), x.dtype)
        rows = np.arange(x.shape[0])
        for k in range(x.shape[1]):
            running = k < lengths
            at = np.where(running, lengths - 1 - k if backwards else k, 0)
            after = self.step(x[rows, at], state, weights)
            state = tuple(np.where(running[:, None], new, old) for new, old in zip(after, state, strict=True))
            y[rows, at] = np.where(running[:, None], after[0], y[rows, at])
        return y, state


class LSTMSequence(_Sequence, frozen=True):
    states: ClassVar[int] = 2
    gates: ClassVar[int] = 4

    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _lstm(self.gate, x, state, weights)


class GRUSequence(_Sequence, frozen=True):
    linear_before_reset: bool = False

    gates: ClassVar[int] = 3

    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _gru(self.gate, x, state, weights)

    @property
    def bias_rows(self) -> int:
        return 4 if self.linear_before_reset else 3


class RNNSequence(_Sequence, frozen=True):
    def step(self, x: Array, state: State, weights: Weights) -> State:
        return _rnn(self.gate, x, state, weights)


def _axis(fact: Fact, axis: int, rank: int) -> Dim:
    if fact.shape is None:
        return UNKNOWN
    if len(fact.shape) != rank:
        raise ValueError(f"{fact} has {len(fact.shape)} axes, {rank} expected")
    return fact.shape[axis]


def _merge(first: Dim, *others: Dim) -> Dim:
    for other in others:
        first = merge_dim(first, other)
    return first
