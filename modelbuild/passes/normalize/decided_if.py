"""Take the branch of an If whose condition is known."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.graph.copy import inline
from modelbuild.rewrite import Match, Rewriter, Skip, of, rule

choice = of(ops.If)


@rule(choice)
def take_decided_branch(m: Match, g: Rewriter) -> tuple[Value, ...] | Skip:
    """If(true, x…) { a } { b }  ->  a(x…)"""
    node = m[choice]
    condition = node.inputs[0].fact.value
    if condition is None:
        return Skip("its condition is known only at run time")
    taken = bool(condition.numpy().reshape(-1)[0])
    body, ports = (node.op.then_body, node.op.then_inputs) if taken else (node.op.else_body, node.op.else_inputs)
    return inline(body, dict(zip(body.inputs, (node.inputs[p] for p in ports), strict=True)))


RULES = (take_decided_branch,)
