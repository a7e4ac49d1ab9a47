"""Targets: devices under a name, with the conditions that hold there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from modelbuild.targets.device import NO_OTHERS, Device, device
from modelbuild.targets.limits import Limits
from modelbuild.targets.profile import shipped_names
from modelbuild.targets.release import Release, release

if TYPE_CHECKING:
    from modelbuild.targets.precision import Precision
    from modelbuild.targets.profile import Profile


@dataclass(frozen=True, slots=True)
class Target:
    """All conditions are spelled out, so that a key made of them changes when a default changes.

    ``runtime`` is the oldest release that has to read the IR, None where it is the newest; ``profiles`` are those of
    the device, or of all members of a team, and ``known`` is the digest of those. ``compiled``: the device's own
    compiler is asked for what it makes of each artifact.
    """

    name: str
    device: str
    static_shapes: bool
    precisions: tuple[Precision, ...]
    default_precision: Precision
    runtime: Release | None = None
    compiled: bool = False
    profiles: tuple[Profile, ...] = field(default=(), hash=False, repr=False)
    known: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        device_name: str,
        *,
        static_shapes: bool | None = None,
        precisions: tuple[Precision, ...] | None = None,
        runtime: str | None = None,
        compiled: bool = False,
        others: Mapping[str, Profile] = NO_OTHERS,
    ) -> Target:
        """What is not said holds as for the device; ``ValueError`` where there is no such device or release.

        ``others`` are profiles beside the shipped ones.
        """
        from modelbuild import digest

        known = device(device_name, others)
        return cls(
            name,
            known.name,
            known.static_shapes if static_shapes is None else static_shapes,
            known.precisions if precisions is None else precisions,
            known.default_precision,
            known.runtime if runtime is None else _readable(release(runtime), known),
            compiled,
            known.members,
            digest.of_bytes(repr(known.members).encode()),
        )

    @property
    def is_verified(self) -> bool:
        """Whether all that is known of the device is held against the runtime's own answers."""
        return all(profile.verified for profile in self.profiles)

    def limits(self, *, static_shapes: bool = False) -> Limits:
        """What is demanded of a graph; ``static_shapes`` demands those in any case."""
        return Limits(
            device=self.device,
            static_shapes=static_shapes or self.static_shapes,
            runtime=self.runtime and str(self.runtime),
            members=tuple(replace(one, documented="", verified=False, precisions=()) for one in self.profiles),
        )

    def __str__(self) -> str:
        return self.name


def _readable(asked: Release, known: Device) -> Release:
    if known.runtime is not None and asked > known.runtime:
        raise ValueError(f"release {asked} has no device {known.name}: {known.runtime} was the last one")
    return asked


class _BuiltIn(Mapping[str, Target]):
    """A target for every device, under its small name; made when it is asked for."""

    def __getitem__(self, name: str) -> Target:
        if name not in self:
            raise KeyError(name)
        return _built_in(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.islower() and name.upper() in shipped_names()

    def __iter__(self) -> Iterator[str]:
        return (name.lower() for name in shipped_names())

    def __len__(self) -> int:
        return len(shipped_names())


@cache
def _built_in(name: str) -> Target:
    return Target.of(name, name)


BUILT_IN: Final[Mapping[str, Target]] = _BuiltIn()
