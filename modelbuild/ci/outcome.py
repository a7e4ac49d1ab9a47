"""What became of an artifact in a build, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from modelbuild.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modelbuild.manifest import Variant
    from modelbuild.telling import Row

Status: TypeAlias = Literal["made", "hit", "current", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``hit``: all of it was in the store; ``current``: nothing was to do; ``skipped``: another failed before it.

    ``why`` is the reason of what was made, ``errors`` are what went wrong, the gist first.
    """

    variant: Variant
    status: Status
    seconds: float = 0.0
    why: str = ""
    errors: tuple[str, ...] = ()

    @classmethod
    def of(cls, variant: Variant, what: Row | BuildError | None) -> Outcome:
        """As `cli.building` has it: a row of what was made, an error, or nothing."""
        if what is None:
            return cls(variant, "current")
        if isinstance(what, BuildError):
            return cls(variant, "failed", errors=(str(what), *what.notes))
        return cls(variant, "made" if what.stages else "hit", what.seconds, what.why)

    def plain(self) -> dict[str, Any]:
        """The event that ends the work on an artifact."""
        return {
            "what": "artifact",
            "variant": str(self.variant),
            "status": self.status,
            "seconds": self.seconds,
            "why": self.why,
            "errors": list(self.errors),
        }


def all_outcomes(variants: Iterable[Variant], found: Mapping[Variant, Row | BuildError | None]) -> tuple[Outcome, ...]:
    """An outcome for each variant that was asked for; what was not come to is ``skipped``."""
    return tuple(
        Outcome.of(variant, found[variant]) if variant in found else Outcome(variant, "skipped") for variant in variants
    )


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(("made", "hit", "current", "failed", "skipped"), 0)
    for outcome in outcomes:
        found[outcome.status] += 1
    return found
