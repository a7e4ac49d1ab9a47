"""Moves of elements that a device or release lacks, as a Reshape, a Transpose and a Reshape, or as two other moves."""

from __future__ import annotations

from itertools import chain
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.passes.legalize.making import extent, known_as, like
from modelbuild.rewrite import Match, Rewriter, Skip, anything, of, rule
from modelbuild.tensor.dtype import ElementType, Ints

FAR: Final = 1 << 30

x = anything()
shuffle = of(ops.ShuffleChannels, x)
to_space = of(ops.DepthToSpace, x)
to_depth = of(ops.SpaceToDepth, x)
pad = of(ops.CroppingPad)
mirror = of(ops.Pad)


def _moved(g: Rewriter, value: Value, split: Ints, order: Ints, joined: Ints) -> Value:
    parts = g(ops.Reshape(), value, g.ints(split))
    return g(ops.Reshape(), g(ops.Transpose(), parts, g.ints(order)), g.ints(joined))


@rule(shuffle)
def spell_shuffle(m: Match, g: Rewriter) -> Value | Skip:
    """ShuffleChannels(x)  ->  the axis of channels split into groups x rest, the two exchanged, joined again"""
    shape, op = m[x].fact.static_shape, m[shuffle].op
    if shape is None:
        return Skip("its shape is open")
    axis = op.axis % len(shape)
    split = (*shape[:axis], op.group, shape[axis] // op.group, *shape[axis + 1 :])
    order = (*range(axis), axis + 1, axis, *range(axis + 2, len(split)))
    return _moved(g, m[x], split, order, shape)


@rule(to_space)
def spell_depth_to_space(m: Match, g: Rewriter) -> Value | Skip:
    """DepthToSpace(x)  ->  blocks split off the channels, moved behind their axes, joined with these"""
    shape, made = m[x].fact.static_shape, m[to_space].output.fact.static_shape
    if shape is None or made is None:
        return Skip("its shape is open")
    batch, _, *extents = shape
    k, block = len(extents), m[to_space].op.block_size
    blocks = (block,) * k
    if m[to_space].op.mode == "blocks_first":
        split, first, channel = (batch, *blocks, made[1], *extents), 1, k + 1
    else:
        split, first, channel = (batch, made[1], *blocks, *extents), 2, 1
    places = chain.from_iterable((k + 2 + i, first + i) for i in range(k))
    return _moved(g, m[x], split, (0, channel, *places), made)


@rule(to_depth)
def spell_space_to_depth(m: Match, g: Rewriter) -> Value | Skip:
    """SpaceToDepth(x)  ->  axes split into places x blocks, the blocks moved to the channels, joined with these"""
    shape, made = m[x].fact.static_shape, m[to_depth].output.fact.static_shape
    if shape is None or made is None:
        return Skip("its shape is open")
    batch, channels, *extents = shape
    k, block = len(extents), m[to_depth].op.block_size
    split = (batch, channels, *chain.from_iterable((extent // block, block) for extent in extents))
    within, places = [3 + 2 * i for i in range(k)], [2 + 2 * i for i in range(k)]
    order = (0, *within, 1, *places) if m[to_depth].op.mode == "blocks_first" else (0, 1, *within, *places)
    return _moved(g, m[x], split, order, made)


@rule(pad)
def spell_cropping_pad(m: Match, g: Rewriter) -> Value:
    """Pad(x, b, e), some negative  ->  Pad(Slice(x, max(-b, 0), min(e, 0)), max(b, 0), max(e, 0))

    A slice that takes nothing away at the end ends far behind it: at a number that single precision holds exactly,
    because the CPU plugin chooses between integers in that.
    """
    data, begins, ends, *value = m[pad].inputs
    zero, back = like(g, begins, 0), like(g, begins, -1)
    far = like(g, begins, FAR)
    start = g(ops.Maximum(), g(ops.Multiply(), begins, back), zero)
    stop = g(ops.Select(), g(ops.Less(), ends, zero), ends, far)
    step = g(ops.Add(), g(ops.Multiply(), start, zero), like(g, begins, 1))
    kept = g(ops.Slice(), data, start, stop, step)
    made = g(ops.Pad(m[pad].op.pad_mode), kept, g(ops.Maximum(), begins, zero), g(ops.Maximum(), ends, zero), *value)
    return known_as(made, m[pad].output)


@rule(mirror)
def spell_reflection(m: Match, g: Rewriter) -> Value | Skip | None:
    """Pad(x, b, e) {reflect}  ->  of each axis, with n the last place: Gather(x, n - |n - |-b .. n + e||)"""
    data, begins, ends, *_ = m[mirror].inputs
    if m[mirror].op.pad_mode is not ops.PadMode.REFLECT or isinstance(m[mirror].op, ops.CroppingPad):
        return None
    before, after = begins.fact.ints, ends.fact.ints
    if before is None or after is None or min(*before, *after) < 0:
        return Skip("it is not known how far it reflects")
    made = data
    for axis, (ahead, behind) in enumerate(zip(before, after, strict=True)):
        if ahead or behind:
            made = g(ops.Gather(), made, _reflected(g, data, axis, ahead, behind), g.ints([axis]))
    return known_as(made, m[mirror].output)


def _reflected(g: Rewriter, data: Value, axis: int, ahead: int, behind: int) -> Value:
    """The places that are read along an axis."""
    one = g.constant(np.array(1, np.int64))
    whole = extent(g, data, axis)
    last = g(ops.Subtract(), whole, one)
    stop = g(ops.Add(), whole, g.constant(np.array(behind, np.int64)))
    places = g(ops.Range(ElementType.i64), g.constant(np.array(-ahead, np.int64)), stop, one)
    from_end = _absolute(g, g(ops.Subtract(), last, _absolute(g, places)))
    return g(ops.Subtract(), last, from_end)


def _absolute(g: Rewriter, whole: Value) -> Value:
    """Without Abs, which OpenVINO 2026.4 leaves out where it folds integers."""
    return g(ops.Maximum(), whole, g(ops.Multiply(), whole, like(g, whole, -1)))


RULES = (spell_shuffle, spell_depth_to_space, spell_space_to_depth, spell_cropping_pad, spell_reflection)
