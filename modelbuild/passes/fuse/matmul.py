"""Lay the weights of a matrix product out as the runtime wants them: one row an output."""

from __future__ import annotations

import msgspec

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.rewrite import Match, Rewriter, Skip, anything, constant, of, rule
from modelbuild.tensor.derived import Transposed

LARGEST = 1 << 20
"""Weights up to so many bytes are turned here. The runtime turns larger ones when it compiles, once and faster: a
transposition writes at a sixth of the speed of a copy (measured: 0.5 to 0.9 GB/s)."""

x, weights = anything(), constant()
product = of(ops.MatMul, x, weights)


@rule(product)
def turn_weights(m: Match, g: Rewriter) -> Value | Skip | None:
    """MatMul(x, W)  ->  MatMul(x, Wᵀ) {transpose_b=true}"""
    op, w = m[product].op, m[weights]
    if op.transpose_b or not w.dtype.is_real:
        return None
    if len(w.shape) != 2:
        return Skip(f"weights of {len(w.shape)} axes are no matrix")
    if w.nbytes > LARGEST:
        return Skip(f"the runtime turns {w.nbytes} bytes faster")
    turned = g.constant(Transposed(w, (1, 0)), "weights")
    old = m.value(weights)
    if old.used_once:
        turned.producer.name = old.producer.name
    return g(msgspec.structs.replace(op, transpose_b=True), m[x], turned)


RULES = (turn_weights,)
