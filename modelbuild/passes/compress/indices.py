"""Write small lists of axes, sizes and positions as i32: sources have them as i64, and no extent needs that."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Trace
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory

NAME = "narrow_indices"
LONGEST = 64
"""Lists of more elements are tables, which are looked up and keep their type."""

LIMITS = np.iinfo(np.int32)


def narrow_indices(graph: Graph, trace: Trace) -> int:
    """Const i64 that only says where  ->  Const i32, in bodies too; return how many."""
    made = 0
    for node in graph.nodes():
        if bodies := node.op.bodies():
            inner = tuple(copy(body) for body in bodies)
            found = sum(narrow_indices(body, trace) for body in inner)
            if found:
                node.op = node.op.with_bodies(*inner)
                made += found
        elif node.op.index_inputs or node.op.list_inputs:
            made += _narrow(graph, node, trace)
    return made


def _narrow(graph: Graph, node: Node[Op], trace: Trace) -> int:
    """All lists of a node, or none: some operations want them to be of one type."""
    places = [i for i in (*node.op.index_inputs, *node.op.list_inputs) if i < len(node.inputs)]
    narrow = [_narrowed(node, node.inputs[i]) for i in places]
    lists = [value for value in narrow if value is not None]
    if len(lists) < len(places):
        return 0
    for i, value in zip(places, lists, strict=True):
        if value is not node.inputs[i]:
            graph.rewire(node, i, value)
            trace.applied(NAME, value.producer.name)
    return len(lists)


def _narrowed(node: Node[Op], value: Value) -> Value | None:
    """``value`` as i32; ``None`` where it is no constant list or would be another one."""
    op = value.producer.op
    if not isinstance(op, Const) or op.value.size > LONGEST:
        return None
    if op.value.dtype is ElementType.i32:
        return value
    if op.value.dtype is not ElementType.i64:
        return None
    numbers = op.value.numpy()
    clipped = np.clip(numbers, LIMITS.min, LIMITS.max)
    # A slice to the end of i64 goes to the end of the axis, and so does one to the end of i32.
    if not isinstance(node.op, ops.Slice | ops.StridedSlice) and not _equal(numbers, clipped):
        return None
    old = value.producer
    return Node(Const(InMemory(clipped.astype(np.int32))), (), old.name, old.origin, value.names).output


def _equal(a: Array, b: Array) -> bool:
    return bool((a == b).all())
