"""How messages quote what a person wrote and suggest what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_QUOTED = 60
_LISTED = 12


def quote(text: str) -> str:
    """``text`` as Python would write it, so that nothing in it reaches the terminal raw, and not too much of it."""
    return repr(str(text) if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'cpu'?)``; where nothing is near, what there is; nothing where there is nothing."""
    import difflib

    folded = {name.casefold(): name for name in sorted(known)}
    if near := difflib.get_close_matches(word[:_QUOTED].casefold(), folded, n=1):
        return f" (did you mean {quote(folded[near[0]])}?)"
    if not folded:
        return ""
    listed = ", ".join(list(folded.values())[:_LISTED])
    return f" (there is {listed}{', …' if len(folded) > _LISTED else ''})"
