"""Numbers with units, as people write them."""

from __future__ import annotations

import re
from typing import Final

from modelbuild.errors import UsageError

_BYTES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}


def octets(text: str) -> int:
    """Bytes, of ``20GB``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?", text)
    if found is None:
        raise UsageError(f"{text!r} is no size: write 500MB or 20GB")
    return int(float(found[1]) * _BYTES[found[2]])


def seconds(text: str) -> float:
    """Seconds, of ``90``, ``15m`` or ``30d``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhdw]?)", text)
    if found is None:
        raise UsageError(f"{text!r} is no time: write 90s, 15m, 12h, 30d or 8w")
    return float(found[1]) * _SECONDS[found[2]]
