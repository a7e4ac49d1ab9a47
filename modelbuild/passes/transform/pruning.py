"""Channels that are zero whatever comes in, taken out of chains of convolutions.

A filter of zeros gives a channel of zeros. What keeps zeros (a ReLU, a pooling, a shift by zero) hands it on, and the
next convolution multiplies its own weights for that channel by them. Both go: what is left computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy_node
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Trace
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.storage import InMemory

NAME = "prune"

Channels: TypeAlias = frozenset[int]
"""Numbers of channels, which are axis 1 of every value here."""

_NONE: Channels = frozenset()
_AXIS = 1

_KEEPING_ZEROS = (
    ops.Abs, ops.AvgPool, ops.Elu, ops.Gelu, ops.HSwish, ops.MaxPool, ops.Mish, ops.Negative, ops.Relu, ops.SoftSign,
    ops.Tanh,
)  # fmt: skip
"""Operations of one input that work on each channel by itself and give zeros for zeros."""

_BY_CHANNEL = (ops.Add, ops.Maximum, ops.Minimum, ops.Multiply, ops.PRelu, ops.Subtract)
"""Operations on two values with channels, or on one and a constant of one number a channel, or of one number."""


def prune(graph: Graph, trace: Trace) -> None:
    """Take out of ``graph`` every channel of zeros that all its users can do without."""
    idle = _idle(graph)
    pruned = [value for value, channels in idle.items() if channels and isinstance(value.producer.op, ops.Convolution)]
    if not pruned:
        trace.skipped(NAME, graph.name, "no convolution has a filter of zeros that its users can do without")
        return
    for value in pruned:
        trace.applied(NAME, str(value))
    _rebuild(graph, idle)


def _idle(graph: Graph) -> dict[Value, Channels]:
    """The channels of each value that are always zero and can go."""
    nodes = [node for node in graph.nodes() if _is_link(node)]
    zeros: dict[Value, Channels] = {}
    for node in nodes:
        zeros[node.outputs[0]] = _zeros(node, zeros)
    idle = {value: _less_all(value, channels) for value, channels in zeros.items()}
    changed = True
    while changed:
        changed = False
        for node in nodes:
            value = node.outputs[0]
            left = reduce(frozenset.intersection, _spared(node, graph, idle), idle[value]) if idle[value] else _NONE
            changed |= left != idle[value]
            idle[value] = left
    return idle


def _less_all(value: Value, zeros: Channels) -> Channels:
    """A tensor keeps one channel: no runtime convolves none at all."""
    return zeros - {0} if len(zeros) == _extent(value) else zeros


def _spared(node: Node[Op], graph: Graph, idle: Mapping[Value, Channels]) -> Iterator[Channels]:
    """What each value around the output of ``node`` can do without."""
    value = node.outputs[0]
    if value in graph.outputs or any(further.uses for further in node.outputs[1:]):
        yield _NONE
    yield from (idle.get(before, _NONE) for before in _chained(node))
    for user, index in value.uses:
        if not (index == 0 and _convolves(user)):
            yield idle.get(user.outputs[0], _NONE) if value in _chained(user) else _NONE


def _extent(value: Value) -> int | None:
    """How many channels ``value`` has; none where that is not known, or nothing comes behind them."""
    shape = value.fact.shape
    extent = shape[_AXIS] if shape is not None and len(shape) > _AXIS + 1 else None
    return extent if isinstance(extent, int) else None


def _is_link(node: Node[Op]) -> bool:
    """Whether channels of zeros begin here, or are handed on."""
    chains = _convolves(node) or bool(_chained(node))
    return chains and _extent(node.outputs[0]) is not None


def _convolves(node: Node[Op]) -> bool:
    return isinstance(node.op, ops.Convolution) and _is_constant(node.inputs[1])


def _chained(node: Node[Op]) -> tuple[Value, ...]:
    """The inputs whose channels are those of the output."""
    op, inputs = node.op, node.inputs
    if isinstance(op, _KEEPING_ZEROS) or (isinstance(op, ops.Clamp) and op.min <= 0 <= op.max):
        return inputs
    if isinstance(op, ops.GroupConvolution):
        filters = inputs[1].fact.shape
        alone = filters is not None and filters[1:3] == (1, 1)
        return inputs[:1] if alone and _is_constant(inputs[1]) else ()
    if isinstance(op, _BY_CHANNEL):
        data = tuple(value for value in inputs if not _is_constant(value))
        known = [value for value in inputs if _is_constant(value)]
        same = all(value.fact.shape == node.outputs[0].fact.shape for value in data)
        return data if data and same and all(_is_by_channel(node, value) for value in known) else ()
    return ()


def _is_constant(value: Value) -> bool:
    """Whether this is a constant of real numbers; one that the runtime is to decompress is none."""
    return isinstance(value.producer.op, Const) and value.fact.dtype.is_real


def _content(value: Value) -> Array:
    assert value.fact.value is not None
    return value.fact.value.numpy()


def _is_by_channel(node: Node[Op], value: Value) -> bool:
    return all(extent == 1 for axis, extent in enumerate(_aligned(node, value)) if axis != _AXIS)


def _aligned(node: Node[Op], value: Value) -> tuple[int, ...]:
    """The shape of a constant with as many axes as the output has; slopes in a row are one a channel."""
    rank, shape = node.outputs[0].fact.rank or 0, value.fact.static_shape or ()
    if isinstance(node.op, ops.PRelu) and len(shape) == 1:
        return (1, *shape, *[1] * (rank - 2))
    return (1,) * (rank - len(shape)) + shape


def _zeros(node: Node[Op], known: Mapping[Value, Channels]) -> Channels:
    """The channels of the output of a link that are zero, given those of values before it."""
    op = node.op
    given = [known.get(value, _NONE) for value in _chained(node)]
    if isinstance(op, ops.Convolution):
        filters = _content(node.inputs[1])
        read = _without(filters, known.get(node.inputs[0], _NONE), axis=1)
        return _zero_rows(read)
    if isinstance(op, ops.GroupConvolution):
        return given[0] | _zero_rows(_content(node.inputs[1]))
    if isinstance(op, _BY_CHANNEL) and not isinstance(op, ops.PRelu):
        extent = _extent(node.outputs[0]) or 0
        given += [_harmless(op, _content(value), extent) for value in node.inputs if _is_constant(value)]
        combine = frozenset.union if isinstance(op, ops.Multiply) else frozenset.intersection
        return reduce(combine, given)
    return given[0]


def _harmless(op: Op, numbers: Array, channels: int) -> Channels:
    """The channels where a constant leaves zeros what is zero, or makes it so."""
    if isinstance(op, ops.Maximum):
        numbers = np.maximum(numbers, 0)
    elif isinstance(op, ops.Minimum):
        numbers = np.minimum(numbers, 0)
    return _zero_rows(np.broadcast_to(numbers.reshape(-1), (channels,)))


def _zero_rows(filters: Array) -> Channels:
    """The filters, one a row, that are nothing but zeros."""
    rows = tuple(range(1, filters.ndim))
    return frozenset(np.flatnonzero(np.count_nonzero(filters, axis=rows) == 0).tolist())


def _rebuild(graph: Graph, idle: Mapping[Value, Channels]) -> None:
    """The graph from new nodes, without the idle channels."""
    known: dict[Value, Value] = {}
    made: dict[Node[Op], Node[Op]] = {}
    for node in graph.nodes():
        constants = {value: _constant(left, value) for value, left in _reduced(node, idle)}
        taken = known | constants
        made[node] = copy_node(node, taken)
        known.update((value, taken[value]) for value in node.outputs)
    graph.inputs = [known[value] for value in graph.inputs]
    graph.outputs = [known[value] for value in graph.outputs]
    graph.sinks = [made[node] for node in graph.sinks]


def _reduced(node: Node[Op], idle: Mapping[Value, Channels]) -> Iterator[tuple[Value, Array]]:
    """The constants of ``node`` that have to do with idle channels, without them."""
    gone = idle.get(node.outputs[0], _NONE) if node.outputs else _NONE
    if _convolves(node):
        data, filters = node.inputs
        into = idle.get(data, _NONE)
        if gone or into:
            yield filters, _without(_without(_content(filters), gone, axis=0), into, axis=1)
    elif gone and isinstance(node.op, ops.GroupConvolution):
        yield node.inputs[1], _without(_content(node.inputs[1]), gone, axis=0)
    elif gone and isinstance(node.op, _BY_CHANNEL):
        for value in filter(_is_constant, node.inputs):
            aligned = _aligned(node, value)
            if aligned[_AXIS] > 1:
                axis = next(i for i, extent in enumerate(value.fact.static_shape or ()) if extent > 1)
                yield value, _without(_content(value), gone, axis=axis)


def _without(content: Array, channels: Channels, *, axis: int) -> Array:
    return np.delete(content, sorted(channels), axis) if channels else content


def _constant(content: Array, like: Value) -> Value:
    node = like.producer
    made: Node[Any] = Node(Const(InMemory(np.ascontiguousarray(content))), (), node.name, node.origin)
    made.output.names = like.names
    return made.output
