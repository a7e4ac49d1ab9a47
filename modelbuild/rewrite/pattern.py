"""Patterns, and what they met.

A pattern is built from pattern variables; the same variables are the typed keys of the match, so a rule has no strings
and no casts. A variable that stands twice in a pattern must meet the same value twice.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Generic, TypeVar, cast, overload

import msgspec

from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.tensor.storage import Tensor

O = TypeVar("O", bound=Op)  # noqa: E741 - the one letter for an operation


class Anything(msgspec.Struct, frozen=True, eq=False):
    """Meets every value."""


class Constant(msgspec.Struct, frozen=True, eq=False):
    """Meets a constant; with ``scalar`` only one of a single element.

    What is known but still made by operations is not met: it is folded first, or kept on purpose, as the integers of
    quantised weights are.
    """

    scalar: bool = False


class Of(msgspec.Struct, Generic[O], frozen=True, eq=False):
    """Meets output ``index`` of one kind of operation.

    Below the root of a pattern such a node may have no other use, because the rewrite makes it go away; ``shared``
    lifts that where the rule leaves it in place.
    """

    op: type[O]
    inputs: tuple[Pattern, ...]
    index: int = 0
    shared: bool = False


Pattern = Anything | Constant | Of[Any]
Bound = dict[Pattern, Value]
Kinds = tuple[type[Op], ...]
"""The kind of a node and those of the nodes that feed it."""


def anything() -> Anything:
    return Anything()


def constant() -> Constant:
    return Constant()


def scalar() -> Constant:
    """A constant of one element."""
    return Constant(scalar=True)


def of(op: type[O], *inputs: Pattern, index: int = 0, shared: bool = False) -> Of[O]:
    """Output ``index`` of an ``op`` whose inputs meet ``inputs``; without any given, the inputs do not matter."""
    return Of(op, inputs, index, shared)


class Match:
    """What each pattern variable met."""

    __slots__ = ("_bound",)

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    @overload
    def __getitem__(self, key: Of[O]) -> Node[O]: ...
    @overload
    def __getitem__(self, key: Constant) -> Tensor: ...
    @overload
    def __getitem__(self, key: Anything) -> Value: ...
    def __getitem__(self, key: Pattern) -> Node[Any] | Tensor | Value:
        value = self._bound[key]
        if isinstance(key, Of):
            return value.producer
        if isinstance(key, Constant):
            return cast("Tensor", value.fact.value)
        return value

    def value(self, key: Pattern) -> Value:
        """The value that any variable met: of a constant, the value rather than its content."""
        return self._bound[key]


def matches(pattern: Of[Any], node: Node[Op]) -> list[Match]:
    """Every way in which ``pattern`` fits with ``node`` as its root."""
    if not isinstance(node.op, pattern.op):
        return []
    root = node.outputs[pattern.index]
    if not pattern.inputs:
        return [Match({pattern: root})]
    return [Match({pattern: root, **bound}) for bound in _match_inputs(pattern, node)]


def kinds_of(node: Node[Op]) -> Kinds:
    return (type(node.op), *[type(v.producer.op) for v in node.inputs])


def may_root(pattern: Of[Any], kinds: Kinds) -> bool:
    """Whether ``pattern`` may fit a node of these kinds as its root."""
    root, *given = kinds
    if not issubclass(root, pattern.op):
        return False
    if not pattern.inputs:
        return True
    orders = (given, given[::-1]) if root.commutes else (given,)
    return len(given) == len(pattern.inputs) and any(all(map(_may_be, pattern.inputs, order)) for order in orders)


def _may_be(pattern: Pattern, kind: type[Op]) -> bool:
    if isinstance(pattern, Anything):
        return True
    return issubclass(kind, Const if isinstance(pattern, Constant) else pattern.op)


def _may_meet(pattern: Pattern, value: Value) -> bool:
    """Whether ``pattern`` fits as far as can be seen without its inputs: nearly all that does not fit fails here."""
    if isinstance(pattern, Anything):
        return True
    op = value.producer.op
    if isinstance(pattern, Constant):
        return isinstance(op, Const) and (not pattern.scalar or op.value.size == 1)
    return (
        isinstance(op, pattern.op) and value.index == pattern.index and (pattern.shared or _used_once(value.producer))
    )


def _used_once(node: Node[Op]) -> bool:
    return sum(len(v.uses) for v in node.outputs) == 1


def _match_inputs(pattern: Of[Any], node: Node[Op]) -> list[Bound]:
    """What the inputs of ``pattern`` meet in ``node``, whose operation fits: each way in which they do."""
    wanted, given = pattern.inputs, node.inputs
    if not wanted:
        return [{}]
    if len(wanted) != len(given):
        return []
    found = _match_all(wanted, given)
    if node.op.commutes and given[0] is not given[1]:
        found += _match_all(wanted, (given[1], given[0]))
    return found


def _match_all(patterns: tuple[Pattern, ...], values: tuple[Value, ...]) -> list[Bound]:
    if not all(map(_may_meet, patterns, values)):
        return []
    ways = product(*map(_match_below, patterns, values))
    return [bound for way in ways if (bound := _together(way)) is not None]


def _match_below(pattern: Pattern, value: Value) -> list[Bound]:
    """What ``pattern``, which may meet ``value``, meets from there down."""
    if not isinstance(pattern, Of):
        return [{pattern: value}]
    return [{pattern: value, **bound} for bound in _match_inputs(pattern, value.producer)]


def _together(parts: tuple[Bound, ...]) -> Bound | None:
    """One binding of several, unless a variable stands for two values."""
    whole: Bound = {}
    for part in parts:
        for pattern, value in part.items():
            if whole.setdefault(pattern, value) is not value:
                return None
    return whole
