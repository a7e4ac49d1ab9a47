"""How the IR spells names, numbers, shapes and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np

from modelbuild.graph.attributes import Attribute, layout
from modelbuild.graph.op import Op
from modelbuild.tensor.shape import Dim, Shape, bounds

MARKS = frozenset({"decompression"})
"""Flags of operations that the IR keeps in a layer's ``rt_info``, not among its attributes."""

_SPECIAL = re.compile(r'[&<"\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]')
_ENTITIES = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#09;", "\n": "&#10;", "\r": "&#13;"}


def quote(text: str) -> str:
    """``text`` as it stands in an attribute; what XML cannot hold at all is written as Python's escapes."""
    return _SPECIAL.sub(_entity, text) if _SPECIAL.search(text) else text


def _entity(found: re.Match[str]) -> str:
    character = found[0]
    return _ENTITIES.get(character) or character.encode("unicode_escape").decode("ascii")


def tensor_names(names: Sequence[str]) -> str:
    """Tensor names as one attribute: sorted, a comma within a name escaped.

    A backslash is not escaped, so a name that ends in one would swallow the comma after it: such a name comes last.
    """
    if len(names) == 1:
        return quote(names[0].replace(",", r"\,"))
    escaped = [name.replace(",", r"\,") for name in names]
    return quote(",".join(sorted(escaped, key=lambda name: (name.endswith("\\"), name))))


def partial_shape(shape: Shape | None) -> str:
    """``1..8,3,?``; bounds are all that the IR knows of a dimension that is not a number."""
    return "..." if shape is None else ",".join(map(_dimension, shape))


def _dimension(dim: Dim) -> str:
    if isinstance(dim, int):
        return str(dim)
    low, high = bounds(dim)
    low = max(low or 0, 0)
    if high is None:
        return f"{low}.." if low else "?"
    if low == high:
        return str(low)
    return f"{low or ''}..{high}"


def attribute_text(op: Op) -> str:
    """All attributes of ``op`` but its marks: `` strides="1, 1" auto_pad="explicit"``, each after a space."""
    return _attribute_text(op, repr(op))


@lru_cache(4096)
def _attribute_text(op: Op, _: str) -> str:
    """The second argument tells apart what is equal and is written otherwise: 0.0 and -0.0, and 0."""
    return "".join(
        f' {field.name}="{quote(partial_shape(value) if field.is_shape else _text(value))}"'
        for field, value in _present(op)
        if field.name not in MARKS
    )


def marks(op: Op) -> list[str]:
    """The names of the marks that are set."""
    return [field.name for field, value in _present(op) if field.name in MARKS and value]


def _present(op: Op) -> Iterator[tuple[Attribute, Any]]:
    for field in layout(type(op)):
        value: Any = op
        for step in field.path:
            value = getattr(value, step)
        if value is not None or field.is_shape:
            yield field, value


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case float():
            return f"{value:.17g}"
        case int() | str():
            return str(value)
        case tuple():
            return ", ".join([_single(v) if isinstance(v, float) else _text(v) for v in value])
    raise TypeError(f"an attribute of the IR cannot hold a {type(value).__name__}")


def _single(value: float) -> str:
    """The shortest decimal that gives back the number in single precision, the type of all lists of real numbers."""
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    short = f"{rounded:.6g}"
    return short if np.float32(short) == rounded else f"{rounded:.9g}"
