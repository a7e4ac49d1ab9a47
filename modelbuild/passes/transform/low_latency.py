"""Recurrent states as variables: a model is fed a step at a time and remembers.

What LSTMSequence, GRUSequence, RNNSequence, Loop and TensorIterator hand from one step to the next is read from a
variable before the first step and assigned to it after the last. Where there is one step, it stands in the graph
itself; where there are more, a model is fed in pieces of so many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from msgspec.structs import replace

from modelbuild import ops
from modelbuild.errors import UsageError
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import inline
from modelbuild.graph.graph import refine
from modelbuild.passes.transform import variables
from modelbuild.rewrite import Trace

NAME = "low_latency"

Recurrence: TypeAlias = ops.LSTMSequence | ops.GRUSequence | ops.RNNSequence
Looping: TypeAlias = ops.Loop | ops.TensorIterator

_CELLS: dict[type[Op], type[Op]] = {
    ops.LSTMSequence: ops.LSTMCell,
    ops.GRUSequence: ops.GRUCell,
    ops.RNNSequence: ops.RNNCell,
}


def low_latency(graph: Graph, trace: Trace, *, use_const_initializer: bool) -> None:
    """Keep every recurrent state in a variable of its own.

    Before the first inference a variable holds zeros, or what feeds the state in the model where
    ``use_const_initializer`` is false. Inputs that only gave first states go with them.

    Raises :class:`UsageError` where there is no state, and for all sequences that need to be seen as a whole.
    """
    nodes = [node for node in graph.nodes() if isinstance(node.op, Recurrence | Looping) and _is_stateful(node.op)]
    if not nodes:
        raise UsageError("LowLatency2: the model has no LSTM, GRU, RNN, Loop or Scan whose state could be kept")
    backwards = [str(node.outputs[0]) for node in nodes if isinstance(node.op, Recurrence) and _runs_backwards(node)]
    if backwards:
        raise UsageError(f"LowLatency2: {', '.join(backwards)}: what runs backwards needs the whole sequence at once")
    read = [value for value in graph.inputs if value.uses]
    states = _States(graph, zeroed=use_const_initializer)
    for node in nodes:
        kept = states.of_sequence(node) if isinstance(node.op, Recurrence) else states.of_loop(node)
        stepped = _cell(kept) if isinstance(kept.op, Recurrence) else _body(kept)
        trace.applied(NAME, str(node.outputs[0]))
        if stepped is None:
            trace.skipped(f"{NAME}_step", str(kept.outputs[0]), "it is not known to take one step")
            continue
        for old, new in zip(kept.outputs, stepped, strict=True):
            graph.replace(old, new)
        refine(stepped)
    graph.forget_strangers()  # a step gives outputs that nobody may ask for
    idle = [value for value in read if not value.uses and value not in graph.outputs]
    graph.inputs = [value for value in graph.inputs if value not in idle]


def _is_stateful(op: Op) -> bool:
    return isinstance(op, Recurrence) or any(True for _ in _carried(op))


def _runs_backwards(node: Node[Any]) -> bool:
    """Whether a step needs those after it; one step alone has none, but two directions would share its state."""
    if node.op.direction is ops.Direction.REVERSE:
        return not _has_one_step(node)
    return node.op.direction is ops.Direction.BIDIRECTIONAL


def _carried(op: Op) -> Iterator[tuple[int, ops.Merged]]:
    """The parameters of a body that take what the step before gave, less a Loop's condition."""
    assert isinstance(op, Looping)
    for parameter, feed in enumerate(op.inputs):
        if isinstance(feed, ops.Merged) and not (isinstance(op, ops.Loop) and feed.result == 0):
            yield parameter, feed


class _States:
    """Makes the variables of a graph, each under a name that no other has."""

    def __init__(self, graph: Graph, *, zeroed: bool) -> None:
        self._graph = graph
        self._zeroed = zeroed
        self._taken: set[str] = set()

    def of_sequence(self, node: Node[Any]) -> Node[Any]:
        for i in range(node.op.states):
            variable = self._name(f"{node.name}/variable_{i}")
            self._graph.rewire(node, 1 + i, self._read(variable, node.inputs[1 + i], node.origin))
            variables.assign(self._graph, variable, node.outputs[1 + i], node.origin)
        return node

    def of_loop(self, node: Node[Any]) -> Node[Any]:
        """The loop once more, with a port for each variable and an output for each state."""
        op = node.op
        inputs, feeds, outcomes = list(node.inputs), list(op.inputs), list(op.outputs)
        kept: list[tuple[str, int]] = []
        for i, (parameter, feed) in enumerate(_carried(op)):
            variable = self._name(f"{node.name}/{op.body.inputs[parameter]}/variable_{i}")
            feeds[parameter] = ops.Merged(len(inputs), feed.result)
            inputs.append(self._read(variable, node.inputs[feed.port], node.origin))
            if ops.Last(feed.result) not in outcomes:
                outcomes.append(ops.Last(feed.result))
            kept.append((variable, outcomes.index(ops.Last(feed.result))))
        inputs, feeds = _less_idle_ports(op, inputs, feeds)
        made: Node[Any] = Node(
            replace(op, inputs=tuple(feeds), outputs=tuple(outcomes)), inputs, node.name, node.origin
        )
        for old, new in zip(node.outputs, made.outputs, strict=False):
            self._graph.replace(old, new)
        for variable, output in kept:
            variables.assign(self._graph, variable, made.outputs[output], node.origin)
        refine(made.outputs)
        return made

    def _name(self, wanted: str) -> str:
        free = (wanted if not i else f"{wanted}_{i}" for i in range(len(self._taken) + 1))
        chosen = next(name for name in free if name not in self._taken)
        self._taken.add(chosen)
        return chosen

    def _read(self, variable: str, first: Value, origin: str) -> Value:
        """A variable that begins as ``first``, or as zeros of its shape."""
        initial = first
        if self._zeroed:
            initial = variables.zeros(first.fact, f"{variable}/zeros", origin) or _zeros_like(first, variable, origin)
        return variables.read(variable, first.fact, initial, origin)


def _zeros_like(value: Value, variable: str, origin: str) -> Value:
    shape: Node[Op] = Node(ops.ShapeOf(), (value,), f"{variable}/shape", origin)
    zero = variables.constant(np.zeros((), value.fact.dtype.numpy), f"{variable}/zero", origin)
    return Node(ops.Broadcast(), (zero, shape.output), f"{variable}/zeros", origin).output


def _less_idle_ports(op: Looping, inputs: list[Value], feeds: list[Any]) -> tuple[list[Value], list[Any]]:
    """Inputs and feeds without the inputs that feed nothing; a Loop's first two rule it and stay."""
    fed = {feed.port for feed in feeds if not isinstance(feed, ops.Iteration)}
    ruling = 2 if isinstance(op, ops.Loop) else 0
    ports = [port for port in range(len(inputs)) if port < ruling or port in fed]
    place = {port: at for at, port in enumerate(ports)}
    moved = [f if isinstance(f, ops.Iteration) else replace(f, port=place[f.port]) for f in feeds]
    return [inputs[port] for port in ports], moved


def _has_one_step(node: Node[Any]) -> bool:
    """Whether a sequence is one step long, all of its batch."""
    x, lengths = node.inputs[0], node.inputs[1 + node.op.states]
    if x.fact.rank != 3 or x.fact.shape is None or x.fact.shape[1] != 1:
        return False
    while isinstance(lengths.producer.op, ops.Broadcast):
        lengths = lengths.producer.inputs[0]
    known = lengths.fact.value
    return known is not None and bool((known.numpy() == 1).all())


def _cell(node: Node[Any]) -> tuple[Value, ...] | None:
    """Sequence(x, states, lengths, W, R, B)  ->  Cell(x, states, W, R, B), less the axes of time and direction."""
    if not _has_one_step(node):
        return None
    op = node.op
    x, states, weights = node.inputs[0], node.inputs[1 : 1 + op.states], node.inputs[2 + op.states :]
    fields = {name: getattr(op, name) for name in op.__struct_fields__ if name != "direction"}
    inputs = [_reshaped(ops.Squeeze(), v, (1,), node) for v in (x, *states)]
    inputs += [_reshaped(ops.Squeeze(), v, (0,), node) for v in weights]
    cell: Node[Any] = Node(_CELLS[type(op)](**fields), inputs, node.name, node.origin)
    every = _reshaped(ops.Unsqueeze(), cell.outputs[0], (1, 2), node)
    return every, *(_reshaped(ops.Unsqueeze(), state, (1,), node) for state in cell.outputs)


def _reshaped(op: Op, value: Value, axes: tuple[int, ...], node: Node[Any]) -> Value:
    which = variables.constant(np.array(axes, np.int64), f"{node.name}/axes", node.origin)
    return Node(op, (value, which), f"{node.name}/{type(op).__name__}", node.origin).output


def _body(node: Node[Any]) -> tuple[Value, ...] | None:
    """The outputs of a loop's body in its place, where it takes one step over whole inputs."""
    op = node.op
    takes_one_step = op.iterations(*(v.fact for v in node.inputs)) == 1
    if not (takes_one_step and all(_is_whole(feed, node) for feed in op.inputs)):
        return None
    given = [_argument(node, feed, parameter) for feed, parameter in zip(op.inputs, op.body.inputs, strict=True)]
    results = inline(op.body, dict(zip(op.body.inputs, given, strict=True)))
    return tuple(results[outcome.result] for outcome in op.outputs)


def _is_whole(feed: Any, node: Node[Any]) -> bool:
    """Whether a part of an input is all of it."""
    if not isinstance(feed, ops.Sliced):
        return True
    shape = node.inputs[feed.port].fact.shape
    return shape is not None and shape[feed.axis] == feed.part_size


def _argument(node: Node[Any], feed: Any, parameter: Value) -> Value:
    if not isinstance(feed, ops.Iteration):
        given: Value = node.inputs[feed.port]
        return given
    fact = parameter.fact
    return variables.constant(
        np.zeros(fact.static_shape or (), fact.dtype.numpy), f"{node.name}/iteration", node.origin
    )
