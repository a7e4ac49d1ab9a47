"""What the runtime knows a place to compute by: one device, or a team of several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets.precision import Precision
from modelbuild.targets.profile import Profile, shipped, shipped_names
from modelbuild.targets.release import Release, release

if TYPE_CHECKING:
    from collections.abc import Iterator


_TEAMS: Final = ("AUTO", "HETERO", "MULTI")
_ONE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)(?:\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Device:
    """``name`` is canonical; ``members`` are its own profile, or those of a team's members.

    A team is as demanding as its most demanding member, and as old as the oldest.
    """

    name: str
    members: tuple[Profile, ...] = field(hash=False)

    @property
    def static_shapes(self) -> bool:
        """Whether its compiler takes no open dimension."""
        return any(member.static_shapes for member in self.members)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return tuple(p for p in Precision if all(p in member.precisions for member in self.members))

    @property
    def default_precision(self) -> Precision:
        return self.members[0].default_precision

    @property
    def runtime(self) -> Release | None:
        """The last release that had it, where the newest has it no more."""
        return min((release(member.runtime) for member in self.members if member.runtime), default=None)


class _Shipped(Mapping[str, Profile]):
    """The profiles that are shipped, each read when it is asked for."""

    def __getitem__(self, name: str) -> Profile:
        if name not in shipped_names():
            raise KeyError(name)
        return shipped(name)

    def __contains__(self, name: object) -> bool:
        return name in shipped_names()

    def __iter__(self) -> Iterator[str]:
        return iter(shipped_names())

    def __len__(self) -> int:
        return len(shipped_names())


PROFILES: Final[Mapping[str, Profile]] = _Shipped()
NO_OTHERS: Final[Mapping[str, Profile]] = MappingProxyType({})


def device(text: str, others: Mapping[str, Profile] = NO_OTHERS) -> Device:
    """The device that ``text`` names in any case: ``CPU``, ``GPU.1``, ``HETERO:GPU,CPU``; else ``ValueError``.

    ``others`` are profiles beside the shipped ones; they go before them.
    """
    team, colon, listed = text.upper().partition(":")
    if not colon:
        return _one(text, others)
    if team not in _TEAMS:
        raise ValueError(f"unknown device {quote(text)}: {quote(team)} takes no list{did_you_mean(team, _TEAMS)}")
    members = [_one(name, others) for name in listed.split(",")]
    return Device(
        f"{team}:{','.join(member.name for member in members)}",
        tuple(profile for member in members for profile in member.members),
    )


def _one(text: str, others: Mapping[str, Profile]) -> Device:
    found = _ONE.fullmatch(text.upper())
    known = found and (others.get(found["name"]) or PROFILES.get(found["name"]))
    if not found or not known:
        names = {*others, *PROFILES}
        team = ": name its members, as in 'HETERO:GPU,CPU'" if text.upper() in _TEAMS else did_you_mean(text, names)
        raise ValueError(f"unknown device {quote(text)}{team}")
    return Device(f"{known.plugin or known.name}{found[0].removeprefix(found['name'])}", (known,))
