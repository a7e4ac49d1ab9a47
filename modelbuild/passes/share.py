"""Nodes that compute the same are one."""

from __future__ import annotations

from typing import Any

from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Trace
from modelbuild.tensor.storage import Tensor

NAME = "share_equal_nodes"

LOOK_BYTES = 1 << 12
"""Constants up to this size are compared by content; larger ones by where it lies. The IR holds equal content once
in any case."""


def share_equal_nodes(graph: Graph, trace: Trace) -> int:
    """op(x), op(x)  ->  one op(x), in bodies too; return how many nodes went. What is not pure stays."""
    made = 0
    known: dict[Any, Node[Op]] = {}
    for node in graph.nodes():
        if bodies := node.op.bodies():
            inner = tuple(copy(body) for body in bodies)
            found = sum(share_equal_nodes(body, trace) for body in inner)
            if found:
                node.op = node.op.with_bodies(*inner)
                made += found
        elif node.op.pure:
            first = known.setdefault(_meaning(node), node)
            if first is not node and not _are_both_outputs(graph, first, node):
                trace.applied(NAME, str(node.outputs[0]))
                for old, new in zip(node.outputs, first.outputs, strict=True):
                    graph.replace(old, new)
                made += 1
    return made


def _meaning(node: Node[Op]) -> tuple[Any, ...]:
    """Equal for nodes that compute the same."""
    if isinstance(node.op, Const):
        return Const, *_content(node.op.value)
    return node.op, *node.inputs


def _content(tensor: Tensor) -> tuple[Any, ...]:
    if 0 < tensor.nbytes <= LOOK_BYTES:
        return tensor.dtype, tensor.shape, tensor.octets()
    return (tensor,)


def _are_both_outputs(graph: Graph, first: Node[Op], second: Node[Op]) -> bool:
    """Outputs of the graph are told apart by their tensors: two of them do not become one."""
    return any(v in graph.outputs for v in first.outputs) and any(v in graph.outputs for v in second.outputs)
