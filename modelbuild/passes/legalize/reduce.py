"""Reductions that the runtime's CPU plugin gets wrong, in words that it gets right.

A reduction of the last of three axes that drops the axis and is followed by an elementwise operation with a vector is
fused with it wrongly (openvino 2026.4: ``ReduceSum([5,3,8], 2) + v[3]`` is off by several units, static or dynamic,
whatever the reduction). With the axis kept and dropped afterwards the numbers are right.

A maximum begins at the least finite number instead of -inf, so nothing but -inf has a finite maximum. Attention that is
spelled out asks for just that: is a whole row masked?
"""

from __future__ import annotations

import msgspec
import numpy as np

from modelbuild import ops
from modelbuild.graph import Node, Op, Value
from modelbuild.rewrite import Match, Rewriter, Skip, anything, constant, of, rule
from modelbuild.tensor.storage import InMemory

x, axes = anything(), constant()
reduce = of(ops.Reduce, x, axes)


@rule(reduce)
def drop_axis_afterwards(m: Match, g: Rewriter) -> Value | Skip | None:
    """Reduce(x, 2) {keep_dims=false}  ->  Squeeze(Reduce(x, 2) {keep_dims=true}, 2)"""
    op = m[reduce].op
    if op.keep_dims or m[x].fact.rank != 3:
        return None
    if m[axes].numpy().reshape(-1).tolist() not in ([2], [-1]):
        return Skip("it is not the last axis alone")
    if not any(map(_is_elementwise, m[reduce].users)):
        return Skip("no elementwise operation follows")
    kept = g(msgspec.structs.replace(op, keep_dims=True), m[x], m.value(axes))
    return g(ops.Squeeze(), kept, m.value(axes))


def _is_elementwise(node: Node[Op]) -> bool:
    return isinstance(node.op, ops.Binary | ops.FakeQuantize | ops.PRelu)


greatest, least = of(ops.ReduceMax, x, axes), constant()


@rule(of(ops.Equal, greatest, least))
def ask_each_for_infinity(m: Match, g: Rewriter) -> Value | Skip:
    """ReduceMax(x) == -inf  ->  ReduceLogicalAnd(x == -inf)"""
    bound = m[least].numpy()
    if bound.size != 1 or not np.isneginf(bound.astype(np.float64)).all():
        return Skip("it is not compared with -inf")
    if len(m[least].shape) > (m[greatest].output.fact.rank or 0):
        return Skip(f"the rank of {m[greatest].output.fact} would change")
    infinite = g(ops.Equal(), m[x], g.constant(InMemory(bound.reshape(())), "least"))
    return g(ops.ReduceLogicalAnd(m[greatest].op.keep_dims), infinite, m.value(axes))


RULES = (drop_axis_afterwards, ask_each_for_infinity)
