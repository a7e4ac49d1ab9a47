"""Nodes that somebody else put into a model, as plain data, and putting them into ours.

Ranges are measured by a tool with a model of its own in its hands. What it changed there is told as a patch: new nodes,
and which inputs of the known ones take them. So all that it left alone stays as it is, names and origins included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from modelbuild import ops
from modelbuild.errors import StageError
from modelbuild.graph import Graph, Node, Op, Value, verify
from modelbuild.graph.structure import Const
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory


@dataclass(frozen=True, slots=True)
class Known:
    """An output of a layer that the model had before."""

    layer: str
    port: int


@dataclass(frozen=True, slots=True)
class New:
    """The only output of the graft at this place of a patch."""

    index: int


Source: TypeAlias = Known | New


@dataclass(frozen=True, slots=True)
class Graft:
    """A node that is put in: its type, and of its attributes the one that its type has."""

    type: str
    name: str
    inputs: tuple[Source, ...] = ()
    content: Array | None = field(default=None, compare=False)
    levels: int = 0
    element_type: ElementType = ElementType.dynamic


@dataclass(frozen=True, slots=True)
class Patch:
    """``grafts`` in an order in which each comes behind its inputs; ``rewired``: layer and input -> its new source."""

    grafts: tuple[Graft, ...]
    rewired: Mapping[tuple[str, int], Source]


def apply(patch: Patch, graph: Graph, layers: Mapping[str, Node[Op]]) -> None:
    """Put a patch into ``graph``, whose nodes its author knew as ``layers``."""
    made: list[Value] = []

    def value(source: Source) -> Value:
        return made[source.index] if isinstance(source, New) else layers[source.layer].outputs[source.port]

    for graft in patch.grafts:
        inputs = [value(source) for source in graft.inputs]
        made.append(Node(_op(graft), inputs, graft.name).output)
    for (layer, index), source in patch.rewired.items():
        graph.rewire(layers[layer], index, value(source))
    graph.forget_strangers()
    verify(graph)


def _op(graft: Graft) -> Op:
    if graft.type not in _OPS:
        raise StageError(f"{graft.name}: a {graft.type} was put in where only {', '.join(_OPS)} are expected")
    return _OPS[graft.type](graft)


def _constant(graft: Graft) -> Op:
    assert graft.content is not None, "a constant has a content"
    return Const(InMemory(graft.content))


_OPS: Final[dict[str, Callable[[Graft], Op]]] = {
    "Constant": _constant,
    "Convert": lambda graft: ops.Convert(graft.element_type),
    "FakeQuantize": lambda graft: ops.FakeQuantize(graft.levels),
    "Multiply": lambda _: ops.Multiply(),
    "Subtract": lambda _: ops.Subtract(),
    "Add": lambda _: ops.Add(),
}
"""What quantisation is made of: steps, what gives them back, and corrections of what they lost."""
