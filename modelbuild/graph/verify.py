"""Check the invariants of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from modelbuild.errors import BrokenInvariant
from modelbuild.graph.graph import Graph, Node
from modelbuild.graph.known import infer
from modelbuild.graph.op import Op


def verify(graph: Graph) -> None:
    """Raise :class:`BrokenInvariant` naming the first broken invariant, in bodies too."""
    nodes = graph.nodes()
    live = set(nodes)
    for node in nodes:
        _verify_inputs(node, live)
        _verify_facts(node)
        for body in node.op.bodies():
            verify(body)
    # Every input is a use that is known of. If there are as many uses as inputs, there are no others.
    if sum([len(v.uses) for node in nodes for v in node.outputs]) != sum([len(node.inputs) for node in nodes]):
        _refuse_strangers(nodes, live)


def _verify_inputs(node: Node[Op], live: set[Node[Op]]) -> None:
    for i, value in enumerate(node.inputs):
        if (node, i) not in value.uses:
            raise BrokenInvariant(f"{value} does not know its use in {node.name}")
        if value.producer not in live:
            raise BrokenInvariant(f"{node.name} uses {value}, which is not of this graph")


def _refuse_strangers(nodes: Sequence[Node[Op]], live: set[Node[Op]]) -> None:
    for node in nodes:
        for value in node.outputs:
            for user, i in value.uses:
                if user not in live:
                    raise BrokenInvariant(f"{value} is used by {user.name}, which is dead")
                if user.inputs[i] is not value:
                    raise BrokenInvariant(f"{value} has a stale use in {user.name}")


def _verify_facts(node: Node[Op]) -> None:
    facts = infer(node.op, tuple([v.fact for v in node.inputs]))
    if len(facts) != len(node.outputs):
        raise BrokenInvariant(f"{node.name} has {len(node.outputs)} outputs but infers {len(facts)}")
    for value, fact in zip(node.outputs, facts, strict=True):
        if not value.fact.refines(fact):
            raise BrokenInvariant(f"{value} is {value.fact} but infers {fact}")
