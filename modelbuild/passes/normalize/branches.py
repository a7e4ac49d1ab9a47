"""Branches of an If that fit the rest of the model, and those that cannot.

Exporters write ``squeeze(x, dim)`` as a choice between a Squeeze and nothing, by an extent that is known only at run
time. The rank of the result is unknown then, which no plugin takes, although only one branch leaves a graph that can
run at all: the other contradicts what comes later.
"""

from __future__ import annotations

from modelbuild import ops
from modelbuild.errors import SourceError
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy, inline, retyped
from modelbuild.graph.graph import improves, refine, reinfer
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, Trace, apply, of, rule
from modelbuild.tensor.fact import Fact

NAME = "take_only_possible_branch"
TRIALS = 64
"""A graph is tried out at most so often: each trial costs as much as normalising it."""

choice = of(ops.If)


@rule(choice)
def take_decided_branch(m: Match, g: Rewriter) -> tuple[Value, ...] | Skip:
    """If(true, x…) { a } { b }  ->  a(x…)"""
    condition = m[choice].inputs[0].fact.value
    if condition is None:
        return Skip("its condition is known only at run time")
    return _branch(m[choice], taken=bool(condition.numpy().reshape(-1)[0]))


@rule(choice)
def tell_branches_what_is_known(m: Match, g: Rewriter) -> tuple[Value, ...] | Skip | None:
    """Give bodies the facts of what they capture; a branch that cannot take them is never taken."""
    node = m[choice]
    ports = (node.op.then_inputs, node.op.else_inputs)
    facts = [[node.inputs[p].fact for p in feeding] for feeding in ports]
    if not any(map(_is_news, node.op.bodies(), facts)):
        return None
    told: list[Graph] = []
    for body, known, other in zip(node.op.bodies(), facts, (False, True), strict=True):
        try:
            told.append(retyped(body, known))
        except SourceError:
            return _branch(node, taken=other)
    return tuple(g.node(node.op.with_bodies(*told), *node.inputs).outputs)


def _is_news(body: Graph, facts: list[Fact]) -> bool:
    return any(improves(fact, value.fact) for fact, value in zip(facts, body.inputs, strict=True))


def _branch(node: Node[ops.If], *, taken: bool) -> tuple[Value, ...]:
    op = node.op
    body, ports = (op.then_body, op.then_inputs) if taken else (op.else_body, op.else_inputs)
    return inline(body, dict(zip(body.inputs, (node.inputs[p] for p in ports), strict=True)))


def take_only_possible_branches(graph: Graph, rules: tuple[Rule, ...], trace: Trace, trials: int = TRIALS) -> int:
    """Where the branches of an If differ in rank and one leaves no graph that can run, take the other; in bodies too.

    ``rules`` are those that bring out what follows from a choice. Returns how many choices were made.
    """
    made = 0
    for node in graph.nodes():
        if bodies := node.op.bodies():
            inner = tuple(copy(body) for body in bodies)
            found = sum(take_only_possible_branches(body, rules, trace, trials) for body in inner)
            if found:
                node.op = node.op.with_bodies(*inner)
                reinfer(node)
                made += found
    while (at := _first_of_unclear_rank(graph, trace)) is not None and trials > 0:
        trials -= 2
        name = str(graph.nodes()[at].outputs[0])
        fits = [_fits(graph, at, rules, taken=taken) for taken in (True, False)]
        if fits[0] is fits[1]:
            trace.skipped(NAME, name, "both branches leave a graph that can run" if fits[0] else "neither branch fits")
            continue
        _take(graph, at, taken=fits[0])
        apply(rules, graph, trace)
        trace.applied(NAME, name)
        made += 1
    return made


def _first_of_unclear_rank(graph: Graph, trace: Trace) -> int | None:
    """The place among the nodes of the first If whose branches differ in rank, of those not given up."""
    for i, node in enumerate(graph.nodes()):
        if isinstance(node.op, ops.If) and (NAME, str(node.outputs[0])) not in trace.events:
            pairs = zip(node.op.then_body.outputs, node.op.else_body.outputs, strict=True)
            if any(a.fact.rank != b.fact.rank for a, b in pairs):
                return i
    return None


def _fits(graph: Graph, at: int, rules: tuple[Rule, ...], *, taken: bool) -> bool:
    """Whether the graph still has a meaning when this branch is taken."""
    trial = copy(graph)
    try:
        _take(trial, at, taken=taken)
        apply(rules, trial, Trace())
    except SourceError:
        return False
    return True


def _take(graph: Graph, at: int, *, taken: bool) -> None:
    node: Node[Op] = graph.nodes()[at]
    assert isinstance(node.op, ops.If)
    chosen = _branch(node, taken=taken)  # type: ignore[arg-type]
    olds = node.outputs
    for old, new in zip(olds, chosen, strict=True):
        graph.replace(old, new)
    refine(chosen)


RULES = (take_decided_branch, tell_branches_what_is_known)
