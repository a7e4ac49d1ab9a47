"""HTML from Python, in which text is always text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
"""Plain text, which is escaped; markup, which is not; any number of both; or nothing."""

_VOID: Final = frozenset({"meta"})


def markup(*content: Content) -> Markup:
    return Markup("".join([_written(piece) for piece in content]))


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """``<name attribute="…">content</name>``; None leaves an attribute out, ``class_`` and ``data_x`` come out right.

    The content of ``script`` and ``style`` must be markup: browsers take it as it is.
    """
    given = "".join([_attribute(key, value) for key, value in attributes.items() if value is not None])
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{''.join([_written(piece) for piece in content])}</{name}>")


def _attribute(key: str, value: str | float) -> str:
    return f' {key.strip("_").replace("_", "-")}="{escape(str(value))}"'


def _written(content: Content) -> str:
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return escape(content)
    return "" if content is None else "".join([_written(piece) for piece in content])
