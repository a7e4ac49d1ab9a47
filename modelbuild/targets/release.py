"""Releases of the runtime, and since which of them it reads what an IR may hold.

The operations of an opset were tried one by one in the releases since 2023.0, and so were the element types; what is
said of older ones is documented. Version 11 of the IR is read since 2022.1.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from modelbuild.spelling import quote

_WRITTEN = re.compile(r"(?P<year>20[0-9]{2})\.(?P<minor>[0-9])(?:\.[0-9])?")


class Release(NamedTuple):
    """In order of time; patches of a release read what it reads."""

    year: int
    minor: int

    def __str__(self) -> str:
        return f"{self.year}.{self.minor}"


OLDEST: Final = Release(2022, 1)


def release(text: str) -> Release:
    """``2023.0`` or ``2023.0.2``; else ``ValueError``."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{quote(text)} is no release of the runtime, as in 2023.0")
    named = Release(int(found["year"]), int(found["minor"]))
    if named < OLDEST:
        raise ValueError(f"release {text} is too old: version 11 of the IR is read since {OLDEST}")
    return named


_OPSETS: Final = {
    9: Release(2022, 2),
    10: Release(2022, 3),
    11: Release(2023, 0),
    12: Release(2023, 1),
    13: Release(2023, 2),
    14: Release(2024, 0),
    15: Release(2024, 5),
    16: Release(2025, 4),
}
"""Since when an opset is whole."""

_APART: Final = {
    (13, "FakeConvert"): Release(2023, 3),
    (13, "ScaledDotProductAttention"): Release(2023, 3),
    (14, "AvgPool"): Release(2024, 5),
    (14, "MaxPool"): Release(2024, 1),
    (16, "AvgPool"): Release(2025, 3),
    (16, "ISTFT"): Release(2025, 1),
}
"""Operations that came before the rest of their opset, or after it was announced."""

_TYPES: Final = {
    "nf4": Release(2023, 2),
    "f8e4m3": Release(2024, 0),
    "f8e5m2": Release(2024, 0),
    "u2": Release(2024, 1),
    "u3": Release(2024, 1),
    "u6": Release(2024, 1),
    "f8e8m0": Release(2024, 3),
    "f4e2m1": Release(2024, 3),
    "string": Release(2024, 5),
}


READS_INFINITY: Final = Release(2026, 2)
"""Since when an attribute may be infinite; before, it is read as zero."""


READS_OPEN_REFLECTION: Final = Release(2023, 1)
"""Since when an axis may be reflected of which it is not known that it is long enough."""


RUNS_ELLIPSIS: Final = Release(2026, 4)
"""The first that is known to run an Einsum with an ellipsis; 2024.5 still does not."""


def reads_operation(operator: str, version: str) -> Release:
    """Since when the runtime reads an operation, given its type and version in the IR (``opset13``).

    One of a user's own (``extension``) is read by every runtime that has its library.
    """
    if not version.startswith("opset"):
        return OLDEST
    opset = int(version.removeprefix("opset"))
    return _APART.get((opset, operator)) or _OPSETS.get(opset, OLDEST)


def reads_type(element_type: str) -> Release:
    """Since when the runtime reads an element type, given its name in the IR."""
    return _TYPES.get(element_type, OLDEST)
