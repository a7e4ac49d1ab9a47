"""Check the invariants of a graph."""

from __future__ import annotations

from modelbuild.errors import BrokenInvariant
from modelbuild.graph.graph import Graph
from modelbuild.graph.known import infer


def verify(graph: Graph) -> None:
    """Raise :class:`BrokenInvariant` naming the first broken invariant, in bodies too."""
    nodes = graph.nodes()
    live = set(nodes)
    for node in nodes:
        for i, value in enumerate(node.inputs):
            _check((node, i) in value.uses, f"{value} does not know its use in {node.name}")
            _check(value.producer in live, f"{node.name} uses {value}, which is not of this graph")
        for value in node.outputs:
            for user, i in value.uses:
                _check(user in live, f"{value} is used by {user.name}, which is dead")
                _check(user.inputs[i] is value, f"{value} has a stale use in {user.name}")
        facts = infer(node.op, tuple(v.fact for v in node.inputs))
        _check(len(facts) == len(node.outputs), f"{node.name} has {len(node.outputs)} outputs but infers {len(facts)}")
        for value, fact in zip(node.outputs, facts, strict=True):
            _check(value.fact.refines(fact), f"{value} is {value.fact} but infers {fact}")
        for body in node.op.bodies():
            verify(body)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenInvariant(otherwise)
