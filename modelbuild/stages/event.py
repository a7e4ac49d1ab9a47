"""What happens during a build, for whoever shows or records it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

What: TypeAlias = Literal["hit", "run", "made", "failed", "waited", "damaged"]


class Event(msgspec.Struct, frozen=True):
    """``run`` comes before the work, ``made`` or ``failed`` after it; ``waited``: another process was at this key.

    ``why`` is the reason of a ``run``, the first line of what ``failed``, what was ``damaged``. ``size`` is that of
    the outputs in bytes, ``seconds`` what this took now (for a ``hit``: what it took when it was made, which is the
    time saved).
    """

    what: What
    stage: str = ""
    subject: str = ""
    why: str = ""
    key: str = ""
    seconds: float = 0.0
    size: int = 0

    def plain(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


Listener: TypeAlias = Callable[[Event], None]
"""Called from the thread that asked for the build; from several threads if several ask."""


def unheard(_: Event) -> None:
    """Nobody listens."""
