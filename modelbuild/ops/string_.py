"""Strings as bytes, and back."""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, merge


class StringTensorPack(Op, frozen=True):
    """Strings from the places where they begin and end in a list of UTF-8 bytes."""

    version: ClassVar[str] = "opset15"

    def infer(self, begins: Fact, ends: Fact, symbols: Fact) -> Fact:
        if symbols.dtype is not ElementType.u8:
            raise ValueError(f"the symbols are {symbols}, not bytes")
        return Fact(ElementType.string, merge(begins.shape, ends.shape))


class StringTensorUnpack(Op, frozen=True):
    """Where each string begins and ends in the list of UTF-8 bytes, and that list."""

    version: ClassVar[str] = "opset15"

    def infer(self, data: Fact) -> tuple[Fact, ...]:
        if data.dtype is not ElementType.string:
            raise ValueError(f"{data} are no strings")
        places = Fact(ElementType.i32, data.shape)
        return places, places, Fact(ElementType.u8, (UNKNOWN,))
