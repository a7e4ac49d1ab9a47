"""Preparation of the inputs as a part of the graph: what comes in need not be what the model was trained with.

It stands here and not among the passes because it changes what the graph computes; no rewrite does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from modelbuild import ops
from modelbuild.errors import UsageError
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.layout import channel_axis, inverse, order, signs, written
from modelbuild.tensor.storage import InMemory

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec, Number


def preprocess(graph: Graph, specs: Iterable[InputSpec]) -> None:
    """Put behind each input what ``specs`` say: type, axes, channels reversed, mean, scale, in this order.

    ::

        x: f32[1,3,8,8]  ->  x: u8[1,8,8,3], Convert, Transpose, Gather(2,1,0), Subtract(mean), Divide(scale)

    The axes come first, so that what follows stands next to the convolution that can take it into its weights.
    """
    by_name = {name: value for value in graph.inputs for name in value.names}
    for spec in specs:
        if spec.value is not None:
            if spec.reverse_channels or spec.mean or spec.scale or spec.target_layout:
                raise UsageError(f"input {spec.name!r} is given a value; what is done to inputs is not done to it")
            continue
        with _about(spec.name):
            _prepare(graph, by_name[spec.name], spec)
    graph.forget_strangers()


@contextmanager
def _about(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as why:
        raise UsageError(f"input {name!r}: {why}") from None


def _prepare(graph: Graph, old: Value, spec: InputSpec) -> None:
    node = old.producer
    model, rank = node.op, old.fact.rank
    assert isinstance(model, Parameter)
    if spec.layout and rank is not None:
        signs(spec.layout, rank)
    source, target = spec.layout, spec.target_layout or spec.layout
    axes = () if source is None or target is None or source == target else order(source, target, _known(rank))
    shape = tuple([model.shape[i] for i in axes]) if model.shape is not None and axes else model.shape
    layout = written(target) if target else model.layout
    given = Parameter(spec.type or model.element_type, shape, layout)
    if given.element_type is model.element_type and not (axes or spec.reverse_channels or spec.mean or spec.scale):
        node.op = given
        return
    parameter: Node[Op] = Node(given, (), node.name, node.origin)
    steps = _Steps(node, parameter.output)
    if given.element_type is not model.element_type:
        steps.add("Convert", ops.Convert(model.element_type))
    if axes:
        steps.add("Transpose", ops.Transpose(), np.array(inverse(axes), np.int64))
    if spec.reverse_channels:
        channels = np.array(CHANNELS_REVERSED, np.int64)
        axis = channel_axis(model.shape, source, channels.size)
        steps.add("Reverse", ops.Gather(), channels, np.array(axis, np.int64))
    for name, op, numbers in (("Mean", ops.Subtract(), spec.mean), ("Scale", ops.Divide(), spec.scale)):
        if numbers:
            steps.add(name, op, _per_channel(numbers, model, source))
    names, old.names = old.names, ()
    graph.inputs = [parameter.output if v is old else v for v in graph.inputs]
    graph.replace(old, steps.value)
    parameter.output.names = names


CHANNELS_REVERSED = (2, 1, 0)
"""Red, green and blue are the only channels that have another order."""


def _known(rank: int | None) -> int:
    if rank is None:
        raise ValueError("how many axes there are is not known, so they cannot change places; give a shape")
    return rank


def _per_channel(numbers: Sequence[Number], model: Parameter, layout: str | None) -> Array:
    """The numbers along the axis of the channels, one number for all of them."""
    if not model.element_type.is_real:
        raise ValueError(f"the model takes {model.element_type}; mean and scale are for real numbers")
    content = np.array(numbers, model.element_type.numpy)
    if content.size == 1:
        return content.reshape(())
    axis = channel_axis(model.shape, layout, content.size)
    return content.reshape([content.size if i == axis else 1 for i in range(len(model.shape or ()))])


class _Steps:
    """Nodes one behind the other, called after the input ``before`` which they stand."""

    def __init__(self, before: Node[Op], value: Value) -> None:
        self._before = before
        self.value = value

    def add(self, name: str, op: Op, *constants: Array) -> None:
        name = f"{self._before.name}/{name}"
        content = [
            Node(Const(InMemory(array)), (), f"{name}/{i}", self._before.origin).output
            for i, array in enumerate(constants, 1)
        ]
        self.value = Node(op, (self.value, *content), name, self._before.origin).output
