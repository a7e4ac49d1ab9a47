"""Patterns, and what they met.

A pattern is built from pattern variables; the same variables are the typed keys of the match, so a rule has no strings
and no casts. A variable that stands twice in a pattern must meet the same value twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import msgspec

from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.tensor.storage import Tensor

O = TypeVar("O", bound=Op)  # noqa: E741 - the one letter for an operation


class Anything(msgspec.Struct, frozen=True, eq=False):
    """Meets every value."""

    def may_be(self, _: type[Op]) -> bool:
        """Whether a value that an operation of that kind makes may be met."""
        return True

    def meet(self, value: Value, ways: list[Bound]) -> list[Bound]:
        """The ways on which ``value`` is met, beside what is bound on them already; they are gone along in place."""
        return [way for way in ways if way.setdefault(self, value) is value]

    def given(self, value: Value) -> Value:
        """What a rule is given for the value that was met."""
        return value


class Constant(msgspec.Struct, frozen=True, eq=False):
    """Meets a constant; with ``scalar`` only one of a single element.

    What is known but still made by operations is not met: it is folded first, or kept on purpose, as the integers of
    quantised weights are.
    """

    scalar: bool = False

    def may_be(self, kind: type[Op]) -> bool:
        return issubclass(kind, Const)

    def meet(self, value: Value, ways: list[Bound]) -> list[Bound]:
        op = value.producer.op
        if not isinstance(op, Const) or (self.scalar and op.value.size != 1):
            return []
        return [way for way in ways if way.setdefault(self, value) is value]

    def given(self, value: Value) -> Tensor:
        tensor = value.fact.value
        assert tensor is not None
        return tensor


class Of(msgspec.Struct, Generic[O], frozen=True, eq=False):
    """Meets output ``index`` of one kind of operation.

    Below the root of a pattern such a node may have no other use, because the rewrite makes it go away; ``shared``
    lifts that where the rule leaves it in place. ``where`` asks of a node, before anything is bound, what its kind
    cannot tell.
    """

    op: type[O]
    inputs: tuple[Pattern, ...]
    index: int = 0
    shared: bool = False
    where: Callable[[Node[O]], bool] | None = None

    def may_be(self, kind: type[Op]) -> bool:
        return issubclass(kind, self.op)

    def may_be_root(self, kinds: Kinds) -> bool:
        """Whether a node of these kinds may be met."""
        root, *feeding = kinds
        if not self.inputs or not self.may_be(root):
            return self.may_be(root)
        orders = (feeding, feeding[::-1]) if root.commutes else (feeding,)
        return len(feeding) == len(self.inputs) and any(
            all(wanted.may_be(kind) for wanted, kind in zip(self.inputs, order, strict=True)) for order in orders
        )

    def meet(self, value: Value, ways: list[Bound]) -> list[Bound]:
        node: Node[Any] = value.producer
        if not isinstance(node.op, self.op) or value.index != self.index or not (self.shared or _used_once(node)):
            return []
        if self.where is not None and not self.where(node):
            return []
        return self.meet_inputs(node, [way for way in ways if way.setdefault(self, value) is value])

    def meet_inputs(self, node: Node[Op], ways: list[Bound]) -> list[Bound]:
        """The ways on which the inputs of ``node``, whose operation fits, are met: in either order, if that may be."""
        given = node.inputs
        if not self.inputs:
            return ways
        if len(self.inputs) != len(given):
            return []
        if node.op.commutes and given[0] is not given[1]:
            others = [way.copy() for way in ways]
            return self._meet_all(given, ways) + self._meet_all((given[1], given[0]), others)
        return self._meet_all(given, ways)

    def _meet_all(self, values: tuple[Value, ...], ways: list[Bound]) -> list[Bound]:
        for wanted, value in zip(self.inputs, values, strict=True):
            ways = wanted.meet(value, ways)
            if not ways:
                break
        return ways

    def given(self, value: Value) -> Node[O]:
        return value.producer  # type: ignore[return-value]


Pattern = Anything | Constant | Of[Any]
Bound = dict[Pattern, Value]
"""One way to meet a pattern: a variable that stands on it already stands for the same value again, or it ends."""
Kinds = tuple[type[Op], ...]
"""The kind of a node and those of the nodes that feed it."""


def anything() -> Anything:
    return Anything()


def constant() -> Constant:
    return Constant()


def scalar() -> Constant:
    """A constant of one element."""
    return Constant(scalar=True)


def of(
    op: type[O],
    *inputs: Pattern,
    index: int = 0,
    shared: bool = False,
    where: Callable[[Node[O]], bool] | None = None,
) -> Of[O]:
    """Output ``index`` of an ``op`` whose inputs meet ``inputs``; without any given, the inputs do not matter."""
    return Of(op, inputs, index, shared, where)


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
        return key.given(self._bound[key])

    def value(self, key: Pattern) -> Value:
        """The value that any variable met: of a constant, the value rather than its content."""
        return self._bound[key]


def matches(pattern: Of[Any], node: Node[Op]) -> list[Match]:
    """Every way in which ``pattern`` fits with ``node`` as its root."""
    if not isinstance(node.op, pattern.op) or (pattern.where is not None and not pattern.where(node)):
        return []
    return [Match(way) for way in pattern.meet_inputs(node, [{pattern: node.outputs[pattern.index]}])]


def _used_once(node: Node[Op]) -> bool:
    return sum([len(v.uses) for v in node.outputs]) == 1
