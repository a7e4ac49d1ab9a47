"""HTML from Python, in which text is always text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from typing import Final, TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
"""Plain text, which is escaped; markup, which is not; any number of both; or nothing."""

_VOID: Final = frozenset({"meta"})


def markup(*content: Content) -> Markup:
    return Markup("".join(map(_written, content)))


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """``<name attribute="…">content</name>``; None leaves an attribute out, ``class_`` and ``data_x`` come out right.

    The content of ``script`` and ``style`` must be markup: browsers take it as it is.
    """
    given = ""
    for key, value in attributes.items():
        if value is not None:
            given += f' {_spelled(key)}="{escape(str(value))}"'
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{''.join(map(_written, content))}</{name}>")


@cache
def _spelled(attribute: str) -> str:
    return attribute.strip("_").replace("_", "-")


def _written(content: Content) -> str:
    if type(content) is Markup:
        return content
    if isinstance(content, str):
        return escape(content)
    return "" if content is None else "".join(map(_written, content))
