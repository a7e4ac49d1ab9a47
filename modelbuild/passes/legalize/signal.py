"""Spectra of frames for releases that know spectra only."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import extent, known_as
from modelbuild.rewrite import Match, Rewriter, Skip, of, rule
from modelbuild.tensor.dtype import ElementType

frames = of(ops.STFT)


@rule(frames)
def spell_stft(m: Match, g: Rewriter) -> Value | Skip:
    """STFT(x, window, n, step)  ->  RDFT(Gather(x, where frames lie) * window in the middle of n places)"""
    signal, window, size, step = m[frames].inputs
    rank, lengths, strides, shape = signal.fact.rank, size.fact.ints, step.fact.ints, window.fact.static_shape
    if rank is None or lengths is None or strides is None or shape is None:
        return Skip("the size of frames, or how far they lie apart, is not known")
    (length,), (stride,), before = lengths, strides, (lengths[0] - shape[0]) // 2
    places = g(ops.Unsqueeze(), _starts(g, signal, length, stride), g.ints([1]))
    places = g(ops.Add(), places, g.ints(range(length)))
    cut = g(ops.Gather(), signal, places, g.ints([rank - 1]))
    behind = length - shape[0] - before
    weights = g(ops.Pad(), window, g.ints([before]), g.ints([behind])) if before or behind else window
    made = g(ops.RDFT(), g(ops.Multiply(), cut, weights), g.ints([rank]))
    if m[frames].op.transpose_frames:
        made = g(ops.Transpose(), made, g.ints([*range(rank - 1), rank, rank - 1, rank + 1]))
    return known_as(made, m[frames].output)


def _starts(g: Rewriter, signal: Value, length: int, stride: int) -> Value:
    """Where frames begin that end within the signal."""
    zero, behind, pace = (g.constant(np.array(number, np.int64)) for number in (0, 1 - length, stride))
    stop = g(ops.Add(), extent(g, signal, -1), behind)
    return g(ops.Range(ElementType.i64), zero, stop, pace)


RULES = (spell_stft,)
