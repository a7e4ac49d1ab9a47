"""Operations that run graphs: a choice between two, and loops.

A body is closed: whatever it reads comes through its own parameters. How they are fed and what becomes of its results
is said by ports: numbers of the node's inputs, and numbers of the body's outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.graph import Graph
from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, decide_less, join, merge

if TYPE_CHECKING:
    from collections.abc import Sequence


class If(Op, frozen=True):
    """The outputs of ``then_body`` where the condition holds, of ``else_body`` otherwise.

    The inputs are the condition and what the bodies read: ``then_inputs[i]`` is the number of the input (at least 1)
    that feeds parameter ``i`` of ``then_body``. Output ``k`` is output ``k`` of the chosen body.
    """

    then_body: Graph = msgspec.field(default_factory=Graph)
    else_body: Graph = msgspec.field(default_factory=Graph)
    then_inputs: Ints = ()
    else_inputs: Ints = ()

    version: ClassVar[str] = "opset8"
    pure: ClassVar[bool] = False

    def infer(self, condition: Fact, *captures: Fact) -> tuple[Fact, ...]:
        _expect_boolean(condition)
        facts = (condition, *captures)
        for body, ports in ((self.then_body, self.then_inputs), (self.else_body, self.else_inputs)):
            _check_feeds(body, [_pick(facts, port) for port in ports])
        then, otherwise = ([v.fact for v in body.outputs] for body in self.bodies())
        if len(then) != len(otherwise):
            raise ValueError(f"one branch has {len(then)} outputs, the other {len(otherwise)}")
        if condition.value is not None:
            return tuple(then if condition.value.numpy().all() else otherwise)
        return tuple(join_facts(a, b) for a, b in zip(then, otherwise, strict=True))

    def evaluate(self, condition: Array, *captures: Array) -> tuple[Array, ...]:
        arrays = (condition, *captures)
        chosen = np.all(condition)
        ports = self.then_inputs if chosen else self.else_inputs
        return tuple(evaluate(self.then_body if chosen else self.else_body, [arrays[port] for port in ports]))

    def bodies(self) -> tuple[Graph, ...]:
        return self.then_body, self.else_body

    def with_bodies(self, *bodies: Graph) -> If:
        then_body, else_body = bodies
        return msgspec.structs.replace(self, then_body=then_body, else_body=else_body)


class Invariant(msgspec.Struct, frozen=True):
    """The same value in every iteration."""

    port: int


class Merged(msgspec.Struct, frozen=True):
    """The input's value in the first iteration, then output ``result`` of the iteration before."""

    port: int
    result: int


class Sliced(msgspec.Struct, frozen=True):
    """A part of the input in each iteration, ``part_size`` long on ``axis``, which the part keeps.

    ``start`` and ``end`` count from behind where negative, -1 being behind the last element.
    """

    port: int
    axis: int
    start: int = 0
    end: int = -1
    stride: int = 1
    part_size: int = 1


class Iteration(msgspec.Struct, frozen=True):
    """The number of the iteration, from 0."""


class Last(msgspec.Struct, frozen=True):
    """What output ``result`` of the body is in the last iteration."""

    result: int


class Stacked(msgspec.Struct, frozen=True):
    """Output ``result`` of all iterations, one behind the other on ``axis``; backwards where ``stride`` is negative."""

    result: int
    axis: int
    start: int = 0
    end: int = -1
    stride: int = 1
    part_size: int = 1


Feed = Invariant | Merged | Sliced
Outcome = Last | Stacked


class Loop(Op, frozen=True):
    """Runs its body at most as often as its first input says (-1: without limit), while its condition holds.

    The inputs are the trip count, the condition before the first iteration, and data. ``inputs[i]`` says what feeds
    parameter ``i`` of the body, ``outputs[k]`` what output ``k`` is. Output 0 of the body is the condition to go on.
    """

    body: Graph = msgspec.field(default_factory=Graph)
    inputs: tuple[Invariant | Merged | Sliced | Iteration, ...] = ()
    outputs: tuple[Last | Stacked, ...] = ()

    version: ClassVar[str] = "opset5"
    pure: ClassVar[bool] = False

    def infer(self, trip_count: Fact, condition: Fact, *data: Fact) -> tuple[Fact, ...]:
        _expect_boolean(condition)
        if not trip_count.dtype.is_integer:
            raise ValueError(f"the trip count is {trip_count}, not an integer")
        facts = (trip_count, condition, *data)
        count = self.iterations(trip_count, condition, *data)
        return _infer(self.body, self.inputs, self.outputs, facts, count)

    def iterations(self, trip_count: Fact, condition: Fact, *data: Fact) -> Dim:
        """How often the body runs, as far as that is known."""
        trips = trip_count.elements
        if not (trips and _holds(condition) and _holds(self.body.outputs[0].fact)):
            return UNKNOWN
        return UNKNOWN if isinstance(trips[0], int) and trips[0] < 0 else trips[0]

    def evaluate(self, trip_count: Array, condition: Array, *data: Array) -> tuple[Array, ...]:
        run = _Run(self.body, self.inputs, self.outputs, (trip_count, condition, *data))
        trips = int(np.ravel(trip_count)[0])
        going = bool(np.all(condition))
        while going and (trips < 0 or run.done < trips):
            going = bool(np.all(run.step()[0]))
        return run.results()

    def bodies(self) -> tuple[Graph, ...]:
        return (self.body,)

    def with_bodies(self, *bodies: Graph) -> Loop:
        (body,) = bodies
        return msgspec.structs.replace(self, body=body)


class TensorIterator(Op, frozen=True):
    """Runs its body once for each part of its sliced inputs; otherwise as :class:`Loop`."""

    body: Graph = msgspec.field(default_factory=Graph)
    inputs: tuple[Invariant | Merged | Sliced, ...] = ()
    outputs: tuple[Last | Stacked, ...] = ()

    pure: ClassVar[bool] = False

    def infer(self, *facts: Fact) -> tuple[Fact, ...]:
        return _infer(self.body, self.inputs, self.outputs, facts, self.iterations(*facts))

    def iterations(self, *facts: Fact) -> Dim:
        """How often the body runs, as far as that is known."""
        counts = [_parts(feed, _pick(facts, feed.port).shape) for feed in self.inputs if isinstance(feed, Sliced)]
        known = [count for count in counts if isinstance(count, int)]
        if len(set(known)) > 1:
            raise ValueError(f"the sliced inputs have {' and '.join(map(str, known))} parts")
        return known[0] if known else counts[0] if counts else UNKNOWN

    def evaluate(self, *data: Array) -> tuple[Array, ...]:
        run = _Run(self.body, self.inputs, self.outputs, data)
        count = next(_parts(feed, data[feed.port].shape) for feed in self.inputs if isinstance(feed, Sliced))
        while decide_less(run.done, count):
            run.step()
        return run.results()

    def bodies(self) -> tuple[Graph, ...]:
        return (self.body,)

    def with_bodies(self, *bodies: Graph) -> TensorIterator:
        (body,) = bodies
        return msgspec.structs.replace(self, body=body)


def join_facts(a: Fact, b: Fact) -> Fact:
    """What is known of a value that is either; raises ``ValueError`` where the element types differ."""
    if a.dtype is not b.dtype:
        raise ValueError(f"{a} and {b} have different element types")
    return Fact(a.dtype, join(a.shape, b.shape))


def _expect_boolean(condition: Fact) -> None:
    if condition.dtype is not ElementType.boolean:
        raise ValueError(f"the condition is {condition}, not boolean")


def _holds(condition: Fact) -> bool:
    return condition.value is not None and bool(condition.value.numpy().all())


def _pick(facts: Sequence[Fact], port: int) -> Fact:
    if not 0 <= port < len(facts):
        raise ValueError(f"there is no input {port}, only {len(facts)}")
    return facts[port]


def _check_feeds(body: Graph, given: Sequence[Fact]) -> None:
    """Raise ``ValueError`` where what feeds a parameter cannot be what the parameter is declared as."""
    if len(given) != len(body.inputs):
        raise ValueError(f"the body has {len(body.inputs)} parameters, {len(given)} are fed")
    for parameter, fact in zip(body.inputs, given, strict=True):
        if parameter.fact.dtype is not fact.dtype:
            raise ValueError(f"parameter {parameter} of the body is {parameter.fact}, fed with {fact}")
        merge(parameter.fact.shape, fact.shape)


def _extent(part: Sliced | Stacked, shape: tuple[Dim, ...] | None) -> Dim:
    if shape is None:
        return UNKNOWN
    if not -len(shape) <= part.axis < len(shape):
        raise ValueError(f"there is no axis {part.axis} to cut in {len(shape)} axes")
    return shape[part.axis]


def _parts(part: Sliced, shape: tuple[Dim, ...] | None) -> Dim:
    extent = _extent(part, shape)
    start = part.start if part.start >= 0 else extent + 1 + part.start
    end = part.end if part.end >= 0 else extent + 1 + part.end
    return (end - start if part.stride > 0 else start - end) // part.part_size


def _with_axis(fact: Fact, axis: int, extent: Dim) -> Fact:
    if fact.shape is None:
        return Fact(fact.dtype)
    axis %= len(fact.shape)
    return Fact(fact.dtype, (*fact.shape[:axis], extent, *fact.shape[axis + 1 :]))


def _infer(
    body: Graph, feeds: Sequence[Feed | Iteration], outcomes: Sequence[Outcome], facts: Sequence[Fact], count: Dim
) -> tuple[Fact, ...]:
    given = []
    for feed, parameter in zip(feeds, body.inputs, strict=True):
        match feed:
            case Iteration():
                given.append(parameter.fact)
            case Sliced():
                _extent(feed, (source := _pick(facts, feed.port)).shape)
                given.append(_with_axis(source, feed.axis, feed.part_size))
            case _:
                given.append(_pick(facts, feed.port))
    _check_feeds(body, given)
    first = {feed.result: _pick(facts, feed.port) for feed in feeds if isinstance(feed, Merged)}
    runs = decide_less(0, count) is True
    made = []
    for outcome in outcomes:
        fact = body.outputs[outcome.result].fact
        if isinstance(outcome, Stacked):
            made.append(_with_axis(fact, outcome.axis, _extent(outcome, fact.shape) * count))
        elif runs or outcome.result not in first:
            made.append(Fact(fact.dtype, fact.shape))
        else:
            made.append(join_facts(fact, first[outcome.result]))
    return tuple(made)


class _Run:
    """The numpy meaning of a loop, iteration by iteration."""

    def __init__(
        self, body: Graph, feeds: Sequence[Feed | Iteration], outcomes: Sequence[Outcome], data: Sequence[Array]
    ) -> None:
        self.body, self.feeds, self.outcomes, self.data = body, feeds, outcomes, data
        self.history: list[list[Array]] = []

    @property
    def done(self) -> int:
        return len(self.history)

    def step(self) -> list[Array]:
        made = evaluate(self.body, [self._fed(i) for i in range(len(self.feeds))])
        self.history.append(made)
        return made

    def _fed(self, parameter: int) -> Array:
        match self.feeds[parameter]:
            case Iteration():
                fact = self.body.inputs[parameter].fact
                return np.full(fact.static_shape or (), self.done, fact.dtype.numpy)
            case Invariant(port):
                return self.data[port]
            case Merged(port, result):
                return self.history[-1][result] if self.history else self.data[port]
            case Sliced() as part:
                whole = self.data[part.port]
                at = part.part_size * self.done
                if part.stride < 0:
                    at = whole.shape[part.axis] - at - part.part_size
                return np.take(whole, range(at, at + part.part_size), part.axis)

    def results(self) -> tuple[Array, ...]:
        return tuple(map(self._result, self.outcomes))

    def _result(self, outcome: Outcome) -> Array:
        if isinstance(outcome, Stacked):
            parts = [made[outcome.result] for made in self.history]
            if not parts:
                fact = _with_axis(self.body.outputs[outcome.result].fact, outcome.axis, 0)
                return np.empty([d if isinstance(d, int) else 0 for d in fact.shape or (0,)], fact.dtype.numpy)
            return np.concatenate(parts if outcome.stride > 0 else parts[::-1], outcome.axis)
        if self.history:
            return self.history[-1][outcome.result]
        return next(self.data[f.port] for f in self.feeds if isinstance(f, Merged) and f.result == outcome.result)
