"""Patterns, and what they met.

A pattern is built from pattern variables; the same variables are the typed keys of the match, so a rule has no strings
and no casts. A variable that stands twice in a pattern must meet the same value twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.tensor.storage import Tensor

O = TypeVar("O", bound=Op)  # noqa: E741 - the one letter for an operation


@dataclass(frozen=True, eq=False)
class Anything:
    """Meets every value."""


@dataclass(frozen=True, eq=False)
class Constant:
    """Meets a constant; with ``scalar`` only one of a single element.

    What is known but still made by operations is not met: it is folded first, or kept on purpose, as the integers of
    quantised weights are.
    """

    scalar: bool = False


@dataclass(frozen=True, eq=False)
class Of(Generic[O]):
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


def matches(pattern: Of[Any], node: Node[Op]) -> Iterator[Match]:
    """Yield every way ``pattern`` fits with ``node`` as its root."""
    for bound in _match_node(pattern, node):
        yield Match({pattern: node.outputs[pattern.index], **bound})


def _match(pattern: Pattern, value: Value) -> Iterator[Bound]:
    match pattern:
        case Anything():
            yield {pattern: value}
        case Constant(scalar=single):
            op = value.producer.op
            if isinstance(op, Const) and (not single or op.value.size == 1):
                yield {pattern: value}
        case Of():
            if value.index == pattern.index and (pattern.shared or _used_once(value)):
                for bound in _match_node(pattern, value.producer):
                    yield {pattern: value, **bound}


def _used_once(value: Value) -> bool:
    return sum(len(v.uses) for v in value.producer.outputs) == 1


def _match_node(pattern: Of[Any], node: Node[Op]) -> Iterator[Bound]:
    if not isinstance(node.op, pattern.op):
        return
    if not pattern.inputs:
        yield {}
        return
    if len(node.inputs) != len(pattern.inputs):
        return
    yield from _match_all(pattern.inputs, node.inputs)
    if node.op.commutes and node.inputs[0] is not node.inputs[1]:
        yield from _match_all(pattern.inputs, (node.inputs[1], node.inputs[0]))


def _match_all(patterns: tuple[Pattern, ...], values: tuple[Value, ...]) -> Iterator[Bound]:
    if not patterns:
        yield {}
        return
    for head in _match(patterns[0], values[0]):
        for tail in _match_all(patterns[1:], values[1:]):
            if all(tail.get(k, v) is v for k, v in head.items()):
                yield {**head, **tail}
