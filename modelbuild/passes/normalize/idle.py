"""Drop operations that give back what they were given."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.graph import Op, Value
from modelbuild.rewrite import Match, Rewriter, Rule, anything, constant, of, rule
from modelbuild.tensor.shape import same

x, y = anything(), constant()
convert = of(ops.Convert, x)
moves: tuple[type[Op], ...] = (
    ops.Reshape, ops.Squeeze, ops.Unsqueeze, ops.Broadcast, ops.Tile, ops.Slice, ops.StridedSlice, ops.Pad,
)  # fmt: skip


@rule(convert)
def drop_idle_convert(m: Match, g: Rewriter) -> Value | None:
    """Convert(x) to the type that x has  ->  x"""
    return m[x] if m[convert].op.destination_type is m[x].fact.dtype else None


def _same_shape(kind: type[Op]) -> Rule:
    """``kind(x, …)`` that keeps the shape moves nothing: its elements stay in order and all of them are kept."""
    root = of(kind)

    def drop(m: Match, g: Rewriter) -> Value | None:
        given, made = m[root].inputs[0], m[root].outputs[0]
        old, new = given.fact.shape, made.fact.shape
        if old is None or new is None or len(old) != len(new) or not all(map(same, old, new)):
            return None
        return None if _reverses(m[root].op, m[root].inputs) else given

    return Rule(f"drop_idle_{kind.__name__.lower()}", root, drop)


def _reverses(op: Op, inputs: tuple[Value, ...]) -> bool:
    """Whether a slice that keeps the shape may still turn the order round, or a pad that cuts and fills."""
    if isinstance(op, ops.Pad):
        return any(v.fact.ints is None or any(v.fact.ints) for v in inputs[1:3])
    if isinstance(op, ops.Slice | ops.StridedSlice):
        if len(inputs) < 4:
            return False
        steps = inputs[3].fact.ints
        return steps is None or min(steps, default=1) < 0
    return False


transpose = of(ops.Transpose, x, y)


@rule(transpose)
def drop_idle_transpose(m: Match, g: Rewriter) -> Value | None:
    """Transpose(x, [0, 1, 2])  ->  x"""
    order = m.value(y).fact.ints
    return m[x] if order is not None and order and order == tuple(range(len(order))) else None


single = of(ops.Concat, x)


@rule(single)
def drop_concat_of_one(m: Match, g: Rewriter) -> Value | None:
    """Concat(x)  ->  x"""
    return m[x]


RULES = (drop_idle_convert, drop_idle_transpose, drop_concat_of_one, *map(_same_shape, moves))
