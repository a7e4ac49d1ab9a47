"""What a rule is, and what it may do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.rewrite.pattern import Match, Of
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.storage import InMemory, Tensor


class Skip(msgspec.Struct, frozen=True):
    """The shape matched but the rule does not apply. The reason goes to the trace."""

    why: str


Rewrite = Value | tuple[Value, ...] | Skip | None
"""What a rule answers: one value an output of the root, a reason, or ``None`` where the root is simply not its case."""


class Rewriter:
    """Makes new nodes on behalf of the matched one: they inherit its name and origin."""

    __slots__ = ("root",)

    def __init__(self, root: Node[Op]) -> None:
        self.root = root

    def __call__(self, op: Op, *inputs: Value) -> Value:
        """The only output of a new node."""
        return self.node(op, *inputs).output

    def node(self, op: Op, *inputs: Value) -> Node[Any]:
        return Node(op, inputs, self.root.name, self.root.origin)

    def constant(self, content: Array | Tensor, name: str = "const") -> Value:
        """A constant; its layer is called after the root."""
        tensor = InMemory(content) if isinstance(content, (np.ndarray, np.generic)) else content
        return Node(Const(tensor), (), f"{self.root.name}/{name}", self.root.origin).output

    def ints(self, numbers: Sequence[int]) -> Value:
        """A constant list of i64: a shape, an order, a set of axes."""
        return self.constant(np.array(numbers, np.int64))


class Rule(msgspec.Struct, frozen=True):
    name: str
    pattern: Of[Any]
    rewrite: Callable[[Match, Rewriter], Rewrite]


def rule(pattern: Of[Any]) -> Callable[[Callable[[Match, Rewriter], Rewrite]], Rule]:
    """Make a rule of a function; its name and docstring are the rule's."""

    def wrap(rewrite: Callable[[Match, Rewriter], Rewrite]) -> Rule:
        return Rule(rewrite.__name__, pattern, rewrite)

    return wrap
