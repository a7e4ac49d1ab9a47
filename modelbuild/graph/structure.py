"""The two operations that every graph has: where values come in, and constants."""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Shape
from modelbuild.tensor.storage import Tensor


class Parameter(Op, frozen=True):
    """An input of a graph or a body. Its content comes at run time, so it is never merged with another.

    ``layout`` names the axes, as in ``[N,C,H,W]``; empty where nothing is said.
    """

    element_type: ElementType
    shape: Shape | None
    layout: str = ""

    pure: ClassVar[bool] = False

    def infer(self) -> Fact:
        return Fact(self.element_type, self.shape)


class Const(Op, frozen=True):
    """A tensor known now. Equal constants have equal content."""

    value: Tensor

    exact: ClassVar[bool] = True

    def infer(self) -> Fact:
        return Fact.of(self.value)

    def evaluate(self) -> Array:
        return self.value.numpy()
