"""Copies of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelbuild.graph.graph import Graph, Node, Value, explained
from modelbuild.graph.op import Op
from modelbuild.graph.structure import Parameter
from modelbuild.tensor.fact import Fact


def copy(graph: Graph) -> Graph:
    """The same graph from new nodes; operations, facts and contents are shared, bodies too: they never change."""
    known: dict[Value, Value] = {}
    for node in graph.nodes():
        outputs = node.outputs
        inputs = [known[v] for v in node.inputs]
        made = Node(node.op, inputs, node.name, node.origin, facts=[v.fact for v in outputs])
        for old, new in zip(outputs, made.outputs, strict=True):
            new.names = old.names
            known[old] = new
    twin = Graph(
        [known[v] for v in graph.inputs],
        [known[v] for v in graph.outputs],
        [known[node.outputs[0]].producer for node in graph.sinks],
        graph.name,
    )
    twin.notes += graph.notes
    return twin


def inline(graph: Graph, arguments: Mapping[Value, Value]) -> tuple[Value, ...]:
    """The nodes of a body once more, reading ``arguments`` (its input -> a value outside) instead of its inputs."""
    known = dict(arguments)
    for node in graph.nodes():
        if node.outputs and node.outputs[0] not in known:
            copy_node(node, known)
    return tuple(known[v] for v in graph.outputs)


def retyped(body: Graph, facts: Sequence[Fact]) -> Graph:
    """A body once more, with more precise facts of its inputs, as many as are given from the first.

    Raises :class:`SourceError` where a node cannot take what is known then.
    """
    known: dict[Value, Value] = {}
    for old, fact in zip(body.inputs, facts, strict=False):
        node = old.producer
        made = Node(Parameter(fact.dtype, fact.shape), (), node.name, node.origin, old.names)
        known[old] = made.output
    for node in body.nodes():
        if not node.outputs or node.outputs[0] not in known:
            copy_node(node, known)
    sinks = [known[node.outputs[0]].producer for node in body.sinks]
    return Graph([known[v] for v in body.inputs], [known[v] for v in body.outputs], sinks, body.name)


def copy_node(node: Node[Op], known: dict[Value, Value]) -> Node[Op]:
    """``node`` once more, on the values that ``known`` gives for its inputs; its outputs are added to ``known``."""
    with explained(node):
        made: Node[Op] = Node(node.op, [known[v] for v in node.inputs], node.name, node.origin)
    for old, new in zip(node.outputs, made.outputs, strict=True):
        new.names = old.names
        if old.fact.refines(new.fact):
            new.fact = old.fact
        known[old] = new
    return made
