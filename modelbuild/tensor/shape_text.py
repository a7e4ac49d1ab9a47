"""Read shapes as :func:`modelbuild.tensor.shape.show_shape` writes them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator

from modelbuild.tensor.shape import UNKNOWN, Dim, Expr, Shape, larger, smaller

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+)|(?P<call>max|min|div)\(|(?P<name>[A-Za-z_][^\s<>+*(),\[\]]*)(?:<(?P<low>\d+)\.\.(?P<high>\d*)>)?"
    r"|(?P<sign>[-+*(),?]))"
)

_NUMBERS = re.compile(r"\d+(?:,\d+)*")
_CALLS: dict[str, Callable[[Dim, Dim], Dim]] = {"max": larger, "min": smaller, "div": operator.floordiv}


def parse_shape(text: str) -> Shape | None:
    """The shape of ``1,3,S<1..8>,2*W``, without brackets; ``...`` is an unknown rank. ``ValueError`` if it is none."""
    if text == "...":
        return None
    if not text:
        return ()
    if _NUMBERS.fullmatch(text):
        return tuple(map(int, text.split(",")))
    reader = _Reader(text)
    dims = [reader.sum()]
    while reader.take(","):
        dims.append(reader.sum())
    reader.end()
    return tuple(dims)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = self._scan()
        self._next = next(self._tokens, None)

    def _scan(self) -> Iterator[re.Match[str]]:
        at = 0
        while at < len(self.text):
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise ValueError(f"not a shape: {self.text!r} at {at}")
            yield found
            at = found.end()

    def _advance(self) -> re.Match[str]:
        if self._next is None:
            raise ValueError(f"the shape {self.text!r} ends too early")
        found, self._next = self._next, next(self._tokens, None)
        return found

    def take(self, sign: str) -> bool:
        if self._next is not None and self._next["sign"] == sign:
            self._advance()
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise ValueError(f"the shape {self.text!r} lacks a {sign!r}")

    def end(self) -> None:
        if self._next is not None:
            raise ValueError(f"the shape {self.text!r} goes on after its end")

    def sum(self) -> Dim:
        total = -self.product() if self.take("-") else self.product()
        while True:
            if self.take("+"):
                total = total + self.product()
            elif self.take("-"):
                total = total - self.product()
            else:
                return total

    def product(self) -> Dim:
        total = self.atom()
        while self.take("*"):
            total = total * self.atom()
        return total

    def atom(self) -> Dim:
        found = self._advance()
        if found["number"]:
            return int(found["number"])
        if found["name"]:
            low, high = found["low"], found["high"]
            return Expr.symbol(found["name"], int(low or 0), int(high) if high else None)
        if found["call"]:
            left = self.sum()
            self.expect(",")
            right = self.sum()
            self.expect(")")
            return _CALLS[found["call"]](left, right)
        if found["sign"] == "?":
            return UNKNOWN
        if found["sign"] == "(":
            inner = self.sum()
            self.expect(")")
            return inner
        raise ValueError(f"the shape {self.text!r} has a {found[0]!r} where a dimension belongs")
