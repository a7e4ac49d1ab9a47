"""Devices and targets as written -> what is known of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, structs

from modelbuild.manifest import notation, schema
from modelbuild.manifest.resolve import said
from modelbuild.targets import Limit, Profile, Release, Target, device, release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def profiles(written: Mapping[str, schema.Device], tell: Callable[[str, str, str], None]) -> dict[str, Profile]:
    """What is known of each device; one that cannot be is told with its name, the key at fault and the problem."""
    made: dict[str, Profile] = {}
    pending = dict(written)
    while pending:
        ready = [name for name, one in pending.items() if said(one.like, "").upper() not in pending]
        for name in ready or list(pending):
            one = pending.pop(name)
            try:
                if not ready:
                    raise ValueError("devices are like each other in a circle")
                made[name] = _profile(name, one, made)
            except ValueError as problem:
                tell(name, "like", str(problem))
    for name, known in made.items():
        try:
            if known.fallback:
                device(known.fallback, made)
        except ValueError as problem:
            tell(name, "fallback", str(problem))
    return made


def _profile(name: str, written: schema.Device, others: Mapping[str, Profile]) -> Profile:
    said_of_it = {key: value for key, value in structs.asdict(written).items() if value is not UNSET}
    known: dict[str, Any] = {"name": name, "plugin": name, "verified": False, "documented": "models.yaml"}
    if like := said_of_it.pop("like", None):
        (base,) = _alone(like, others).members
        plugin, documented = base.plugin or base.name, base.documented
        inherited = {one.name: getattr(base, one.name) for one in fields(base)}
        known = {**inherited, **known, "plugin": plugin, "documented": documented}
    for key, value in said_of_it.items():
        known[key] = tuple(value) if isinstance(value, list) else value
    if "limits" in said_of_it:
        known["limits"] = tuple(map(_limit, written.limits or ()))
    if "layouts" in said_of_it:
        known["layouts"] = tuple("".join(notation.layout(layout)) for layout in known["layouts"])
    if "runtime" in said_of_it:
        known["runtime"] = str(_release(written.runtime))
    return Profile(**known)


def _alone(text: str, others: Mapping[str, Profile]) -> Any:
    found = device(text, others)
    if ":" in found.name:
        raise ValueError(f"{found.name} is a team: a device is like one device")
    return found


def _limit(written: schema.Limit) -> Limit:
    given = {key: value for key, value in structs.asdict(written).items() if value is not UNSET}
    return Limit(**{**given, "operators": tuple(given.get("operators", ()))})


def target(name: str, written: schema.Target, others: Mapping[str, Profile]) -> Target:
    """``ValueError`` where there is no such device, or not in the release that is asked for."""
    return Target.of(
        name,
        written.device,
        static_shapes=said(written.static_shapes, None),
        precisions=tuple(said(written.precisions, ())) or None,
        runtime=None if written.runtime is UNSET else str(_release(written.runtime)),
        compiled=said(written.compile, False),
        others=others,
    )


def _release(written: Any) -> Release:
    return release(str(written))
