"""Bounds that are no numbers: before 2026.2 the runtime reads an infinite attribute as zero, and refuses the Clamp."""

from __future__ import annotations

import math

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import like
from modelbuild.rewrite import Match, Rewriter, Skip, anything, of, rule

x = anything()
clamp = of(ops.Clamp, x)


@rule(clamp)
def drop_infinite_bound(m: Match, g: Rewriter) -> Value | Skip | None:
    """Clamp(x) {a..inf}  ->  Maximum(x, a), and Clamp(x) {-inf..b}  ->  Minimum(x, b)"""
    low, high = m[clamp].op.min, m[clamp].op.max
    if math.isfinite(low) and math.isfinite(high):
        return None
    if not m[x].fact.dtype.is_real:
        return Skip(f"what bounds {m[x].fact.dtype} is rounded")
    if math.isfinite(low):
        return g(ops.Maximum(), m[x], like(g, m[x], low))
    return g(ops.Minimum(), m[x], like(g, m[x], high))


RULES = (drop_infinite_bound,)
