"""Strings as bytes, and back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, merge


class StringTensorPack(Op, frozen=True):
    """Strings from the places where they begin and end in a list of UTF-8 bytes."""

    version: ClassVar[str] = "opset15"

    def infer(self, begins: Fact, ends: Fact, symbols: Fact) -> Fact:
        if symbols.dtype is not ElementType.u8:
            raise ValueError(f"the symbols are {symbols}, not bytes")
        return Fact(ElementType.string, merge(begins.shape, ends.shape))

    def evaluate(self, begins: Array, ends: Array, symbols: Array) -> Array:
        content = symbols.tobytes()
        made = np.empty(begins.shape, object)
        for place in np.ndindex(*begins.shape):
            made[place] = content[int(begins[place]) : int(ends[place])].decode("utf-8", "surrogateescape")
        return made


class StringTensorUnpack(Op, frozen=True):
    """Where each string begins and ends in the list of UTF-8 bytes, and that list."""

    version: ClassVar[str] = "opset15"

    def infer(self, data: Fact) -> tuple[Fact, ...]:
        if data.dtype is not ElementType.string:
            raise ValueError(f"{data} are no strings")
        places = Fact(ElementType.i32, data.shape)
        return places, places, Fact(ElementType.u8, (UNKNOWN,))

    def evaluate(self, data: Array) -> tuple[Array, Array, Array]:
        encoded = [text.encode("utf-8", "surrogateescape") for text in data.reshape(-1).tolist()]
        lengths = np.array([len(text) for text in encoded], np.int32).reshape(data.shape)
        ends = np.cumsum(lengths, dtype=np.int32).reshape(data.shape)
        return ends - lengths, ends, np.frombuffer(b"".join(encoded), np.uint8)
