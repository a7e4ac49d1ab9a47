"""Zero points of quantised weights go into the weights.

The integer convolutions of the runtime's CPU plugin take signed bytes and no zero point (openvino 2026.4); what has
one is computed in single precision.
"""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, constant, of
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import InMemory

octets, zero = constant(), constant()
wide = of(ops.Convert, octets)


def _into_weights(m: Match, g: Rewriter) -> Value | Skip | None:
    """Convert(octets) - zero  ->  Convert(octets - zero), signed"""
    weights = m[octets]
    if weights.dtype is not ElementType.u8:
        return None
    moved = np.subtract(weights.numpy(), m[zero].numpy(), dtype=np.float32)
    if moved.shape != weights.shape:
        return Skip(f"zero point {list(m[zero].shape)} is larger than the weights {list(weights.shape)}")
    signed = moved.astype(np.int8)
    if not np.array_equal(signed, moved):
        return Skip("less their zero point the weights are no signed bytes")
    made = g.constant(InMemory(signed), "weights")
    made.names = m.value(octets).names if m.value(octets).used_once else ()
    return g(m[wide].op, made)


RULES = (
    Rule("take_zero_point_in", of(ops.Subtract, wide, zero), _into_weights),
    Rule("take_zero_points_in", of(ops.Subtract, wide, of(ops.Convert, zero)), _into_weights),
)
