"""Variables that live from one inference to the next.

``ReadValue`` and ``Assign`` with the same ``variable_id`` mean the same variable; an ``Assign`` is a sink of its graph.
"""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Shape, merge


class ReadValue(Op, frozen=True):
    """The content of a variable; before the first ``Assign`` its input, or zeros where there is none."""

    variable_id: str
    variable_type: ElementType
    variable_shape: Shape | None

    version: ClassVar[str] = "opset6"
    pure: ClassVar[bool] = False

    def infer(self, *initial: Fact) -> Fact:
        for fact in initial:
            if fact.dtype is not self.variable_type:
                raise ValueError(f"variable {self.variable_id} is {self.variable_type}, its first value {fact}")
            merge(fact.shape, self.variable_shape)
        return Fact(self.variable_type, self.variable_shape)


class Assign(Op, frozen=True):
    """Keeps its input in a variable for the next inference, and hands it on."""

    variable_id: str

    version: ClassVar[str] = "opset6"
    pure: ClassVar[bool] = False

    def infer(self, value: Fact) -> Fact:
        return Fact(value.dtype, value.shape)
