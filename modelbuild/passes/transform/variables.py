"""Variables of a graph: what one inference leaves for the next."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.storage import InMemory


def read(variable: str, kept: Fact, initial: Value | None, origin: str) -> Value:
    """What is in ``variable``; before anything is assigned to it ``initial``, or zeros."""
    op = ops.ReadValue(variable, kept.dtype, kept.shape)
    return Node(op, () if initial is None else (initial,), f"{variable}/read", origin).output


def assign(graph: Graph, variable: str, value: Value, origin: str) -> None:
    """Keep ``value`` in ``variable`` until the next inference."""
    node: Node[Op] = Node(ops.Assign(variable), (value,), f"{variable}/assign", origin)
    graph.sinks.append(node)


def zeros(kept: Fact, name: str, origin: str) -> Value | None:
    """A constant of zeros; none where the shape is open."""
    shape = kept.static_shape
    return None if shape is None else constant(np.zeros(shape, kept.dtype.numpy), name, origin)


def constant(content: Array, name: str, origin: str) -> Value:
    return Node(Const(InMemory(content)), (), name, origin).output
