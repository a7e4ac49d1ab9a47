"""What is known of each device of the runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets.precision import Precision


@dataclass(frozen=True, slots=True)
class Device:
    """``name`` is canonical; ``static_shapes``: its compiler takes no dynamic dimension."""

    name: str
    static_shapes: bool = False
    precisions: tuple[Precision, ...] = tuple(Precision)


DEVICES = {d.name: d for d in (Device("CPU"), Device("GPU"), Device("NPU", static_shapes=True), Device("AUTO"))}

_TEAMS = ("AUTO", "HETERO", "MULTI")
_ONE = re.compile(r"(?P<name>[A-Z]+)(?:\.[0-9]{1,3})?")


def device(text: str) -> Device:
    """The device that ``text`` names in any case: ``CPU``, ``GPU.1``, ``HETERO:GPU,CPU``; else ``ValueError``.

    A team is as demanding as its most demanding member.
    """
    team, colon, listed = text.upper().partition(":")
    if not colon:
        return _one(text)
    if team not in _TEAMS:
        raise ValueError(f"unknown device {quote(text)}: {quote(team)} takes no list{did_you_mean(team, _TEAMS)}")
    members = [_one(name) for name in listed.split(",")]
    return Device(
        f"{team}:{','.join(member.name for member in members)}",
        static_shapes=any(member.static_shapes for member in members),
        precisions=tuple(p for p in Precision if all(p in member.precisions for member in members)),
    )


def _one(text: str) -> Device:
    found = _ONE.fullmatch(text.upper())
    if found is None or found["name"] not in DEVICES:
        team = ": name its members, as in 'HETERO:GPU,CPU'" if text.upper() in _TEAMS else did_you_mean(text, DEVICES)
        raise ValueError(f"unknown device {quote(text)}{team}")
    known = DEVICES[found["name"]]
    return Device(found[0], known.static_shapes, known.precisions)
