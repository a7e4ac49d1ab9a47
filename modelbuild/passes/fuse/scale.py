"""Move scales that follow a convolution or matrix product into its weights."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from modelbuild import ops
from modelbuild.graph import Op, Value
from modelbuild.graph.known import EAGER_BYTES
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, anything, constant, of, rule
from modelbuild.rewrite.pattern import Of
from modelbuild.tensor.derived import Reshaped, Scaled
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.storage import InMemory, Tensor

x, weights, scale, shift = anything(), constant(), constant(), constant()


class Scaling(msgspec.Struct, frozen=True):
    """A product whose weights take scales in: ``axes`` axes of them from ``channel`` on count the output channels."""

    product: Of[Any]
    channel: int
    axes: int

    def rule(self) -> Rule:
        """kind(x, W) * s  ->  kind(x, W * s)"""
        name = self.product.op.__name__.lower()
        return Rule(f"fold_scale_into_{name}", of(ops.Multiply, self.product, scale), self._fold)

    def _fold(self, m: Match, g: Rewriter) -> Value | Skip:
        return self.apply(m, g, m[scale])

    def apply(self, m: Match, g: Rewriter, factors: Tensor) -> Value | Skip:
        """The product that was met, times ``factors``."""
        w, rank = m[weights], m[self.product].output.fact.rank
        if rank is None or w.dtype is not factors.dtype or w.dtype not in {ElementType.f32, ElementType.f64}:
            return Skip("the weights are not real numbers of the scale's type")
        channels = math.prod(w.shape[self.channel : self.channel + self.axes])
        found = per_channel(factors, channels=channels, rank=rank, axis=1)
        if found is None:
            return Skip(f"scale {list(factors.shape)} is not one number per output channel")
        made = g.constant(scale_axes(w, found, self.channel, self.axes), "weights")
        made.names = m.value(weights).names if m.value(weights).used_once else ()
        return g(m[self.product].op, m[x], made)


SCALED = (
    Scaling(of(ops.Convolution, x, weights), 0, 1),
    Scaling(of(ops.GroupConvolution, x, weights), 0, 2),
    Scaling(of(ops.ConvolutionBackpropData, x, weights), 1, 1),
)


def times(g: Rewriter, value: Value, factors: Tensor) -> Value:
    """``value * factors``: in the weights of what makes ``value`` where these take it in, or else as it is said."""
    for scaling in SCALED:
        for way in scaling.product.meet(value, [{}]):
            made = scaling.apply(Match(way), g, factors)
            if isinstance(made, Value):
                return made
    return g(ops.Multiply(), value, g.constant(factors, "scale"))


def per_channel(factors: Tensor, *, channels: int, rank: int, axis: int) -> InMemory | None:
    """``factors``, broadcast against data of ``rank`` axes, as one number a channel; ``None`` if they are not that."""
    if len(factors.shape) > rank or factors.size not in {1, channels}:
        return None
    aligned = (1,) * (rank - len(factors.shape)) + factors.shape
    if aligned[axis] != factors.size:
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


convolved = of(Op)
shifted = of(ops.Add, convolved, shift)


@rule(of(ops.Multiply, shifted, scale))
def scale_before_shift(m: Match, g: Rewriter) -> Value | Skip:
    """(conv(x) + b) * s  ->  conv(x) * s + b * s, where the scale can go on into the weights."""
    if not isinstance(m[convolved].op, tuple(scaling.product.op for scaling in SCALED)):
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


RULES = (*(scaling.rule() for scaling in SCALED), scale_before_shift, join_shifts)
