"""Move scales that follow a convolution or matrix product into its weights."""

from __future__ import annotations

import math

import numpy as np

from modelbuild import ops
from modelbuild.graph import Op, Value
from modelbuild.graph.known import EAGER_BYTES
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, anything, constant, of, rule
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.storage import InMemory, Reshaped, Scaled, Tensor

x, weights, scale, shift = anything(), constant(), constant(), constant()


def _into(kind: type[Op], channel: int, axes: int) -> Rule:
    """kind(x, W) * s  ->  kind(x, W * s), where ``axes`` axes of W from ``channel`` on count the output channels."""
    product = of(kind, x, weights)
    root = of(ops.Multiply, product, scale)

    def fold(m: Match, g: Rewriter) -> Value | Skip:
        w, rank = m[weights], m[product].output.fact.rank
        if rank is None or w.dtype is not m[scale].dtype or w.dtype not in {ElementType.f32, ElementType.f64}:
            return Skip("the weights are not real numbers of the scale's type")
        channels = math.prod(w.shape[channel : channel + axes])
        factors = per_channel(m[scale], channels=channels, rank=rank, axis=1)
        if factors is None:
            return Skip(f"scale {list(m[scale].shape)} is not one number per output channel")
        scaled = g.constant(scale_axes(w, factors, channel, axes), "weights")
        scaled.names = m.value(weights).names if m.value(weights).used_once else ()
        return g(m[product].op, m[x], scaled)

    fold.__doc__ = f"{kind.__name__}(x, W) * s  ->  {kind.__name__}(x, W * s)"
    return Rule(f"fold_scale_into_{kind.__name__.lower()}", root, fold)


def per_channel(factors: Tensor, *, channels: int, rank: int, axis: int) -> InMemory | None:
    """``factors``, broadcast against data of ``rank`` axes, as one number a channel; ``None`` if they are not that."""
    if len(factors.shape) > rank or factors.size not in {1, channels}:
        return None
    aligned = (1,) * (rank - len(factors.shape)) + factors.shape
    if any(extent != 1 for i, extent in enumerate(aligned) if i != axis):
        return None
    flat = factors.numpy().reshape(-1)
    return InMemory(flat if flat.size == channels else np.repeat(flat, channels))


def scale_axes(w: Tensor, factors: InMemory, channel: int, axes: int) -> Tensor:
    """``w`` scaled along ``axes`` axes that count as one; what is small is scaled now."""
    if axes == 1:
        scaled: Tensor = Scaled(w, factors, channel)
    else:
        merged: Ints = (*w.shape[:channel], factors.size, *w.shape[channel + axes :])
        scaled = Reshaped(Scaled(Reshaped(w, merged), factors, channel), w.shape)
    return InMemory(scaled.numpy()) if scaled.nbytes <= EAGER_BYTES else scaled


SCALED = (
    (ops.Convolution, 0, 1),
    (ops.GroupConvolution, 0, 2),
    (ops.ConvolutionBackpropData, 1, 1),
)

convolved = of(Op)
shifted = of(ops.Add, convolved, shift)


@rule(of(ops.Multiply, shifted, scale))
def scale_before_shift(m: Match, g: Rewriter) -> Value | Skip:
    """(conv(x) + b) * s  ->  conv(x) * s + b * s, where the scale can go on into the weights."""
    if not isinstance(m[convolved].op, tuple(kind for kind, _, _ in SCALED)):
        return Skip("what is shifted is not a convolution")
    scaled = g(ops.Multiply(), m.value(convolved), m.value(scale))
    return g(ops.Add(), scaled, g(ops.Multiply(), m.value(shift), m.value(scale)))


further = constant()


@rule(of(ops.Add, of(ops.Add, x, shift), further))
def join_shifts(m: Match, g: Rewriter) -> Value | Skip:
    """(x + a) + b  ->  x + (a + b)"""
    a, b = m[shift], m[further]
    if a.dtype not in {ElementType.f32, ElementType.f64}:
        return Skip(f"sums of {a.dtype} are not joined")
    if np.prod(np.broadcast_shapes(a.shape, b.shape)) > max(a.size, b.size):
        return Skip(f"the sum of {list(a.shape)} and {list(b.shape)} is larger than both")
    return g(ops.Add(), m[x], g(ops.Add(), m.value(shift), m.value(further)))


RULES = (*(_into(*case) for case in SCALED), scale_before_shift, join_shifts)
