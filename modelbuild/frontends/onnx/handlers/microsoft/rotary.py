"""Elements turned by angles that follow from positions, as ``com.microsoft`` has it."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.attention import (
    as_i64,
    at_positions,
    counted,
    extent,
    join_heads,
    known_extent,
    rotated,
    split_heads,
)
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array


@onnx.op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    build: Build, x: Value, position_ids: Value, cos_cache: Value, sin_cache: Value, *,
    interleaved: int = 0, is_packed_batching: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Value:  # fmt: skip
    """A single position is that of the first token."""
    if is_packed_batching or scale != 1:
        raise build.refuse("sequences are packed, or angles scaled")
    flat = build.rank(x) == 3
    head = 2 * known_extent(build, cos_cache, 1, "number of angles")
    places = as_i64(build, position_ids)
    if build.rank(position_ids, "position_ids") == 1:
        count = extent(build, x, 1 if flat else 2)
        places = build(ops.Unsqueeze(), build(ops.Add(), places, counted(build, count)), build.ints(0))
    cos, sin = (at_positions(build, table, places) for table in (cos_cache, sin_cache))
    if flat and num_heads:
        x = split_heads(build, x, num_heads)
    elif flat:
        apart = build(ops.Reshape(special_zero=True), x, build.ints(0, 0, -1, head))
        x = build(ops.Transpose(), apart, build.ints(0, 2, 1, 3))
    y = rotated(build, x, cos, sin, size=rotary_embedding_dim, interleaved=bool(interleaved))
    return join_heads(build, y) if flat else y


@onnx.op("MRotaryEmbedding", domain=MICROSOFT)
def m_rotary_embedding(
    build: Build, x: Value, position_ids: Value, cos_cache: Value, sin_cache: Value, *,
    interleaved: int = 0, is_packed_batching: int = 0, mrope_layout: int = 0, mrope_section: Ints, num_heads: int = 0,
    rotary_embedding_dim: int = 0, scale: float = 1.0,
) -> Value:  # fmt: skip
    """Each angle is that of one of three positions, ``[3, batch, sequence]``: of time, height or width."""
    if is_packed_batching or scale != 1:
        raise build.refuse("sequences are packed, or angles scaled")
    angles = known_extent(build, cos_cache, 1, "number of angles")
    which = _position_of(angles, mrope_section, interleaved=bool(mrope_layout))
    places = as_i64(build, position_ids)

    def chosen(table: Value) -> Value:
        """``[batch, 1, sequence, angle]``"""
        parts = build.node(ops.Split(3), build(ops.Gather(), table, places, build.scalar(0)), build.scalar(0)).outputs
        time, height, width = (build(ops.Squeeze(), part, build.ints(0)) for part in parts)
        rest = build(ops.Select(), build.const(which == 1), height, time)
        return build(ops.Unsqueeze(), build(ops.Select(), build.const(which == 2), width, rest), build.ints(1))

    flat = build.rank(x) == 3
    if flat:
        heads = num_heads or known_extent(build, x, 2, "hidden size") // (2 * angles)
        x = split_heads(build, x, heads)
    turn = rotary_embedding_dim or 2 * angles
    y = rotated(build, x, chosen(cos_cache), chosen(sin_cache), size=turn, interleaved=bool(interleaved))
    return join_heads(build, y) if flat else y


def _position_of(angles: int, sections: Ints, *, interleaved: bool) -> Array:
    """The number of the position of each angle: section by section, or in turns as long as a section lasts."""
    if len(sections) != 3 or min(sections) < 0 or sum(sections) != angles:
        raise ValueError(f"mrope_section is {sections}, three numbers with a sum of {angles} expected")
    if not interleaved:
        return np.repeat(np.arange(3), sections)
    place = np.arange(angles)
    return np.select([(place % 3 == n) & (place < 3 * sections[n]) for n in (1, 2)], [1, 2], 0)


@onnx.op("GemmaRotaryEmbedding", domain=MICROSOFT)
def gemma_rotary_embedding(
    build: Build, emb: Value, q: Value, q_rot: Value, k: Value, k_rot: Value
) -> tuple[Value, ...]:
    angles = build(ops.Unsqueeze(), emb, build.ints(1))
    cos, sin = (converted(build, build(op, angles), q.fact.dtype) for op in (ops.Cos(), ops.Sin()))
    return tuple(
        build(ops.Add(), build(ops.Multiply(), x, cos), build(ops.Multiply(), turned, sin))
        for x, turned in ((q, q_rot), (k, k_rot))
    )
