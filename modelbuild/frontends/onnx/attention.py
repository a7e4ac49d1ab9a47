"""What the attention operators of ONNX and onnxruntime have in common.

Queries, keys and values are ``[batch, heads, sequence, size]`` here, whatever an operator takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.shapes import converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import UNKNOWN, decide_equal

NOTHING = float("-inf")
"""The score of a key that is not seen."""

_LOWEST = -3.4028234663852886e38
"""The least finite f32: the runtime takes it for the largest of nothing but negative infinities."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Which keys a query sees, and what is added to their scores; both broadcast to ``[batch, heads, query, key]``."""

    seen: Value | None = None
    bias: Value | None = None

    def narrowed(self, build: Build, *more: Value | None) -> Mask:
        """The keys that ``more`` lets through, too."""
        seen = self.seen
        for other in more:
            if other is not None:
                seen = other if seen is None else build(ops.LogicalAnd(), seen, other)
        return Mask(seen, self.bias)

    def biased(self, build: Build, *more: Value | None) -> Mask:
        """With ``more`` added to the scores, too."""
        bias = self.bias
        for other in more:
            if other is not None:
                bias = other if bias is None else build(ops.Add(), bias, other)
        return Mask(self.seen, bias)

    def value(self, build: Build) -> Value | None:
        """Both in one: boolean if nothing is added."""
        if self.seen is None or self.bias is None:
            return self.seen if self.bias is None else self.bias
        return build(ops.Select(), self.seen, self.bias, number(build, NOTHING, self.bias))


@dataclass(frozen=True, slots=True)
class Steps:
    """The scores on their way through an attention, and what comes out."""

    raw: Value
    capped: Value
    masked: Value
    weights: Value
    output: Value


def fused(
    build: Build, q: Value, k: Value, v: Value, mask: Mask, *, scale: float | None = None, causal: bool = False
) -> Value:
    """Attention as one operation. The scale is the usual one if not given; ``causal`` only without a mask."""
    given = mask.value(build)
    if given is None and scale is None:
        return build(ops.ScaledDotProductAttention(causal), q, k, v)
    given = number(build, 0, q) if given is None else _upright(build, given)
    factors = [] if scale is None else [number(build, scale, q)]
    return build(ops.ScaledDotProductAttention(causal), q, k, v, given, *factors)


def _upright(build: Build, mask: Value) -> Value:
    """With leading axes up to four, where the rank is known."""
    missing = 4 - (4 if mask.fact.rank is None else mask.fact.rank)
    return build(ops.Unsqueeze(), mask, build.ints(*range(missing))) if missing > 0 else mask


def spelled_out(
    build: Build, q: Value, k: Value, v: Value, mask: Mask, *,
    scale: Value, softcap: float = 0.0, sink: Value | None = None, precision: ElementType | None = None,
    guarded: bool = False,
) -> Steps:  # fmt: skip
    """Attention step by step. ``sink`` are scores of a key that has no value, ``[1, heads, 1, 1]``.

    ``guarded``: the weights of a query that sees nothing are zero.
    """
    raw = build(ops.MatMul(transpose_b=True), build(ops.Multiply(), q, scale), k)
    capped = raw
    if softcap:
        cap = number(build, softcap, raw)
        capped = build(ops.Multiply(), build(ops.Tanh(), build(ops.Divide(), raw, cap)), cap)
    masked = capped if mask.bias is None else build(ops.Add(), capped, mask.bias)
    if mask.seen is not None:
        masked = build(ops.Select(), mask.seen, masked, number(build, NOTHING, masked))
    weights = _softmax(build, converted(build, masked, precision or masked.fact.dtype), sink)
    weights = converted(build, weights, q.fact.dtype)
    if guarded:
        weights = zero_where_blind(build, weights, mask)
    return Steps(raw, capped, masked, weights, build(ops.MatMul(), weights, v))


def _softmax(build: Build, scores: Value, sink: Value | None) -> Value:
    if sink is None:
        return build(ops.Softmax(-1), scores)
    one = build.ints(1)
    rows = build(ops.Concat(0), extents_of(build, scores, 0, 1, 2), one)
    wide = build(ops.Concat(-1), scores, build(ops.Broadcast(), sink, rows))
    return build(ops.Slice(), build(ops.Softmax(-1), wide), build.ints(0), build.ints(-1), one, build.ints(-1))


def zero_where_blind(build: Build, x: Value, mask: Mask) -> Value:
    """``x``, ``[batch, heads, query, …]``, with zeros for the queries that see no key at all."""
    given, last = mask.value(build), build.ints(-1)
    if given is None:
        return x
    if given.fact.dtype is ElementType.boolean:
        sees = build(ops.ReduceLogicalOr(keep_dims=True), given, last)
    else:
        best = build(ops.ReduceMax(keep_dims=True), converted(build, given, ElementType.f32), last)
        sees = build(ops.Greater(), best, build.scalar(_LOWEST, ElementType.f32))
    return build(ops.Select(), sees, x, number(build, 0, x))


# --- heads -----------------------------------------------------------------------------------------------------------


def split_heads(build: Build, x: Value, heads: int) -> Value:
    """``[batch, sequence, heads * size]``  ->  ``[batch, heads, sequence, size]``"""
    apart = build(ops.Reshape(special_zero=True), x, build.ints(0, 0, heads, -1))
    return build(ops.Transpose(), apart, build.ints(0, 2, 1, 3))


def join_heads(build: Build, x: Value) -> Value:
    """``[batch, heads, sequence, size]``  ->  ``[batch, sequence, heads * size]``"""
    moved = build(ops.Transpose(), x, build.ints(0, 2, 1, 3))
    return build(ops.Reshape(special_zero=True), moved, build.ints(0, 0, -1))


def repeated_heads(build: Build, x: Value, q: Value) -> Value:
    """Each head of ``x`` so often that there are as many as of ``q``; the repetitions of one stay together."""
    known, wanted = (v.fact.shape[1] if v.fact.shape else UNKNOWN for v in (x, q))
    if decide_equal(known, wanted):
        return x
    if isinstance(known, int) and isinstance(wanted, int) and (not known or wanted % known):
        raise build.refuse(f"{wanted} heads of queries share {known} of {x.fact}")
    heads = extents_of(build, q, 1)
    times = build(ops.Divide(), heads, extents_of(build, x, 1))
    apart = build(ops.Unsqueeze(), x, build.ints(2))
    wide = build(ops.Broadcast("bidirectional"), apart, build(ops.Concat(0), build.ints(1, 1), times, build.ints(1, 1)))
    shape = build(ops.Concat(0), extents_of(build, x, 0), heads, extents_of(build, x, 2, 3))
    return build(ops.Reshape(special_zero=False), wide, shape)


def usual_scale(build: Build, q: Value) -> Value:
    """One over the root of the size of a head."""
    size = q.fact.shape[3] if q.fact.shape else UNKNOWN
    if isinstance(size, int):
        return number(build, size**-0.5, q)
    root = build(ops.Sqrt(), converted(build, extent(build, q, 3), q.fact.dtype))
    return build(ops.Divide(), number(build, 1, q), root)


def chosen_scale(build: Build, q: Value, scale: float) -> Value:
    """``scale``, or the usual one where that is zero."""
    return number(build, scale, q) if scale else usual_scale(build, q)


# --- positions -------------------------------------------------------------------------------------------------------


def extents_of(build: Build, x: Value, *axes: int) -> Value:
    """The extents of some axes as a list."""
    return build(ops.Gather(), shape_of(build, x), build.ints(*axes), build.scalar(0))


def extent(build: Build, x: Value, axis: int) -> Value:
    """The extent of an axis as a scalar."""
    return build(ops.Gather(), shape_of(build, x), build.scalar(axis), build.scalar(0))


def counted(build: Build, length: Value) -> Value:
    """0, 1, … before ``length``, a scalar."""
    return build(ops.Range(ElementType.i64), build.scalar(0), length, build.scalar(1))


def column(build: Build, numbers: Value) -> Value:
    """A list of numbers, one a batch, as ``[batch, 1, 1, 1]``."""
    return build(ops.Reshape(special_zero=False), as_i64(build, numbers), build.ints(-1, 1, 1, 1))


def as_i64(build: Build, x: Value) -> Value:
    return converted(build, x, ElementType.i64)


def lag(build: Build, q: Value, k: Value, offset: Value | None = None) -> Value:
    """By how much the position of a query exceeds that of a key, ``[…, query, key]``.

    Query 0 is at ``offset``: a scalar, or ``[batch, 1, 1, 1]``.
    """
    rows = build(ops.Unsqueeze(), counted(build, extent(build, q, 2)), build.ints(1))
    if offset is not None:
        rows = build(ops.Add(), rows, offset)
    return build(ops.Subtract(), rows, counted(build, extent(build, k, 2)))


def within(build: Build, lags: Value, *, left: int = -1, right: int = -1) -> Value | None:
    """The keys that are at most so far before and behind a query; -1 is any distance."""
    seen = None if left < 0 else build(ops.LessEqual(), lags, build.scalar(left))
    if right < 0:
        return seen
    near = build(ops.GreaterEqual(), lags, build.scalar(-right))
    return near if seen is None else build(ops.LogicalAnd(), seen, near)


def reaching(build: Build, mask: Value, k: Value) -> Value:
    """A mask that may end before the keys do: those behind it are not seen."""
    keys, shape = k.fact.shape, mask.fact.shape
    if keys is None or shape is None or decide_equal(shape[-1], keys[2]):
        return mask
    missing = build(ops.Subtract(), extents_of(build, k, 2), extents_of(build, mask, len(shape) - 1))
    none, end = (0,) * (len(shape) - 1), build.ints(*(0,) * (len(shape) - 1))
    before = build.ints(*none, 0)
    behind = build(ops.Concat(0), end, missing) if none else missing
    fill = False if mask.fact.dtype is ElementType.boolean else NOTHING
    return build(ops.Pad(), mask, before, behind, number(build, fill, mask))


# --- rotary embeddings -----------------------------------------------------------------------------------------------


def rotated(build: Build, x: Value, cos: Value, sin: Value, *, size: int = 0, interleaved: bool = False) -> Value:
    """The pairs of elements of each head turned by an angle: the first ``size`` ones, or all.

    ``cos`` and ``sin`` broadcast to ``[batch, heads, sequence, pairs]``. A pair are neighbours if ``interleaved``,
    else an element of the first half and one of the second.
    """
    last = build.ints(-1)
    rest = None
    if size:
        rest = build(ops.Slice(), x, build.ints(size), build.ints(_END), build.ints(1), last)
        x = build(ops.Slice(), x, build.ints(0), build.ints(size), build.ints(1), last)
        if rest.fact.shape and rest.fact.shape[-1] == 0:
            rest = None
    shape = shape_of(build, x)
    if interleaved:
        pairs = build(ops.Reshape(special_zero=True), x, build.ints(0, 0, 0, -1, 2))
        split = build.node(ops.Split(2), pairs, build.scalar(-1)).outputs
        first, second = (build(ops.Squeeze(), part, last) for part in split)
    else:
        first, second = build.node(ops.Split(2), x, build.scalar(-1)).outputs
    real = build(ops.Subtract(), build(ops.Multiply(), first, cos), build(ops.Multiply(), second, sin))
    imaginary = build(ops.Add(), build(ops.Multiply(), first, sin), build(ops.Multiply(), second, cos))
    if interleaved:
        both = (build(ops.Unsqueeze(), part, last) for part in (real, imaginary))
        turned = build(ops.Reshape(special_zero=False), build(ops.Concat(-1), *both), shape)
    else:
        turned = build(ops.Concat(-1), real, imaginary)
    return turned if rest is None else build(ops.Concat(-1), turned, rest)


_END = (1 << 31) - 1


def at_positions(build: Build, table: Value, positions: Value) -> Value:
    """Rows of ``[position, pairs]`` for ``[batch, sequence]`` positions, for all heads alike."""
    rows = build(ops.Gather(), table, positions, build.scalar(0))
    return build(ops.Unsqueeze(), rows, build.ints(1))


def known_extent(build: Build, x: Value, axis: int, what: str) -> int:
    """An extent that must be a number now."""
    found = x.fact.shape[axis] if x.fact.shape and axis < len(x.fact.shape) else None
    if not isinstance(found, int):
        raise build.refuse(f"the {what} is unknown: {x.fact}")
    return found
