"""What happens during a build, for whoever shows or records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

What: TypeAlias = Literal["hit", "run", "made", "failed", "waited", "damaged"]


@dataclass(frozen=True, slots=True)
class Event:
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
        return {
            "what": self.what,
            "stage": self.stage,
            "subject": self.subject,
            "why": self.why,
            "key": self.key,
            "seconds": self.seconds,
            "size": self.size,
        }


Listener: TypeAlias = Callable[[Event], None]
"""Called from the thread that asked for the build; from several threads if several ask."""


def unheard(_: Event) -> None:
    """Nobody listens."""
