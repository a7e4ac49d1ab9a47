"""Batch normalisation with known statistics is a scale and a shift."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.fuse.scale import times
from modelbuild.rewrite import Match, Rewriter, Skip, anything, constant, of, rule
from modelbuild.tensor.storage import InMemory

x = anything()
gamma, beta, mean, variance = constant(), constant(), constant(), constant()
norm = of(ops.BatchNormInference, x, gamma, beta, mean, variance)


@rule(norm)
def split_batch_norm(m: Match, g: Rewriter) -> Value | Skip:
    """BatchNormInference(x, γ, β, μ, σ²)  ->  x * s + (β - μ * s)  with  s = γ / sqrt(σ² + ε)

    The scale goes on into the weights behind it at once, where there are such: most models have hundreds of these.
    Computed in f64 and rounded once: division and square root are correctly rounded there, so every machine agrees.
    """
    rank = m[x].fact.rank
    if rank is None:
        return Skip("the rank of its input is unknown")
    parts = [m[part].numpy().astype(np.float64) for part in (gamma, beta, mean, variance)]
    scale = parts[0] / np.sqrt(parts[3] + m[norm].op.epsilon)
    shift = parts[1] - parts[2] * scale
    column = (1, -1, *(1,) * (rank - 2))
    dtype = m[x].fact.dtype.numpy
    factors = InMemory(scale.reshape(column).astype(dtype))
    return g(ops.Add(), times(g, m[x], factors), g.constant(shift.reshape(column).astype(dtype), "shift"))


RULES = (split_batch_norm,)
