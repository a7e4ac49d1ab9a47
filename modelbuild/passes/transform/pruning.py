"""Channels that nothing needs, taken out of what lies between convolutions.

A filter of zeros gives a channel of zeros. Some operations hand it on, and where a convolution reads zeros only, its
weights for that channel do nothing. What works on each channel by itself has to lose it together with its neighbours,
zero or not: in ``x * Clamp(x + 3)`` the factor goes with ``x``. What is left computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy_node
from modelbuild.graph.structure import Const
from modelbuild.ops.elementwise import Binary, Unary
from modelbuild.ops.reduction import Reduce
from modelbuild.rewrite import Trace
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.storage import InMemory

NAME = "prune"

Channels: TypeAlias = frozenset[int]
"""Numbers of channels, which are axis 1 of every value here."""

_NONE: Channels = frozenset()
_AXIS = 1

_MIXING = (ops.Softmax, ops.LogSoftmax)
"""Operations of one input that look at several elements."""

_POOLS = (ops.AvgPool, ops.MaxPool)


def prune(graph: Graph, trace: Trace) -> None:
    """Take out of ``graph`` every channel that all its users can do without."""
    idle = _idle(graph)
    pruned = [value for value, channels in idle.items() if channels and isinstance(value.producer.op, ops.Convolution)]
    if not pruned:
        trace.skipped(NAME, graph.name, "no convolution has a filter of zeros that its users can do without")
        return
    for value in pruned:
        trace.applied(NAME, str(value))
    _rebuild(graph, idle)


def _idle(graph: Graph) -> dict[Value, Channels]:
    """The channels of each value that can go."""
    zeros: dict[Value, Channels] = {}
    groups: dict[Value, list[Value]] = {}
    for node in graph.nodes():
        if _is_link(node):
            zeros[node.outputs[0]] = _zeros(node, zeros)
            _join(groups, (node.outputs[0], *_chained(node)))
    idle: dict[Value, Channels] = {}
    for group in groups.values():
        if group[0] not in idle:
            spared = reduce(frozenset.intersection, (_spared(value, graph, zeros) for value in group))
            idle |= dict.fromkeys(group, _less_all(group[0], spared))
    return idle


def _join(groups: dict[Value, list[Value]], values: Iterable[Value]) -> None:
    """Put the groups of ``values`` together: what is in one loses its channels together."""
    together: dict[Value, None] = {}
    for value in values:
        together |= dict.fromkeys(groups.get(value, [value]))
    joined = list(together)
    groups |= dict.fromkeys(joined, joined)


def _less_all(value: Value, channels: Channels) -> Channels:
    """A tensor keeps one channel: no runtime convolves none at all."""
    return channels - {0} if len(channels) == _extent(value) else channels


def _spared(value: Value, graph: Graph, zeros: Mapping[Value, Channels]) -> Channels:
    """The channels that whoever made ``value`` can leave out, and whoever uses it can do without."""
    node, every = value.producer, frozenset(range(_extent(value) or 0))
    if value in graph.outputs or not _is_link(node) or any(further.uses for further in node.outputs[1:]):
        return _NONE
    spared = every
    for user, index in value.uses:
        if index == 0 and _convolves(user):
            spared &= zeros[value]
        elif not _is_link(user) or value not in _chained(user):
            return _NONE
    return spared


def _extent(value: Value) -> int | None:
    """How many channels ``value`` has; none where that is not known, or nothing comes behind them."""
    shape = value.fact.shape
    extent = shape[_AXIS] if shape is not None and len(shape) > _AXIS + 1 else None
    return extent if isinstance(extent, int) else None


def _is_link(node: Node[Op]) -> bool:
    """Whether channels of zeros begin here, or are handed on."""
    made = node.outputs[0].fact if node.outputs else None
    if made is None or not made.dtype.is_real or _extent(node.outputs[0]) is None:
        return False
    return _convolves(node) or bool(_chained(node))


def _convolves(node: Node[Op]) -> bool:
    return isinstance(node.op, ops.Convolution) and _is_constant(node.inputs[1])


def _chained(node: Node[Op]) -> tuple[Value, ...]:
    """The inputs whose channels are those of the output."""
    op, inputs = node.op, node.inputs
    if isinstance(op, _POOLS) or (isinstance(op, Unary) and not isinstance(op, _MIXING)):
        return inputs
    if isinstance(op, ops.GroupConvolution):
        filters = inputs[1].fact.shape
        alone = filters is not None and filters[1:3] == (1, 1)
        return inputs[:1] if alone and _is_constant(inputs[1]) else ()
    if isinstance(op, Reduce):
        return inputs[:1] if op.keep_dims and not _reduces_channels(node) else ()
    if isinstance(op, Binary | ops.PRelu | ops.HardSigmoid | ops.Selu | ops.Swish):
        data = tuple(value for value in inputs if not _is_constant(value))
        constants = [value for value in inputs if _is_constant(value)]
        alike = all(_is_alike(value, node.outputs[0]) for value in data)
        return data if data and alike and all(_is_by_channel(node, value) for value in constants) else ()
    return ()


def _reduces_channels(node: Node[Op]) -> bool:
    """Whether it may be that the axis of channels is reduced."""
    axes, rank = node.inputs[1].fact.ints, node.inputs[0].fact.rank
    return axes is None or rank is None or _AXIS in {axis % rank for axis in axes}


def _is_alike(value: Value, made: Value) -> bool:
    """Whether a value has as many axes and channels as what is made of it; other axes may be stretched."""
    return value.fact.rank == made.fact.rank and _extent(value) == _extent(made)


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
    if isinstance(op, (*_POOLS, ops.PRelu, Reduce)):
        return given[0]
    handed = reduce(frozenset.intersection, given) & _zeros_of_zeros(node)
    if isinstance(op, ops.Multiply):
        extent = _extent(node.outputs[0]) or 0
        given += [_zero_rows(_channelled(node, value, extent)) for value in node.inputs if _is_constant(value)]
        handed = reduce(frozenset.union, given)
    return handed


def _zeros_of_zeros(node: Node[Op]) -> Channels:
    """The channels in which the operation makes zeros of zeros, with its constants: it is asked itself."""
    extent, kind = _extent(node.outputs[0]) or 0, node.outputs[0].fact.dtype.numpy
    none = np.zeros(extent, kind)
    inputs = [_channelled(node, value, extent) if _is_constant(value) else none for value in node.inputs]
    with np.errstate(all="ignore"):  # a logarithm of zero is none
        made = node.op.evaluate(*inputs)
    return _zero_rows(np.broadcast_to(made, (extent,)))


def _channelled(node: Node[Op], value: Value, extent: int) -> Array:
    """A constant as one number a channel."""
    return np.broadcast_to(_content(value).reshape(-1), (extent,))


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
    elif gone and not isinstance(node.op, (*_POOLS, Reduce)):
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
