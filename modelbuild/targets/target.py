"""Targets: devices under a name, with the conditions that hold there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelbuild.targets.device import DEVICES, device

if TYPE_CHECKING:
    from modelbuild.targets.precision import Precision


@dataclass(frozen=True, slots=True)
class Target:
    """All conditions are spelled out, so that a key made of them changes when a default changes."""

    name: str
    device: str
    static_shapes: bool
    precisions: tuple[Precision, ...]

    @classmethod
    def of(
        cls,
        name: str,
        device_name: str,
        *,
        static_shapes: bool | None = None,
        precisions: tuple[Precision, ...] | None = None,
    ) -> Target:
        """What is not said holds as for the device; ``ValueError`` where there is no such device."""
        known = device(device_name)
        return cls(
            name,
            known.name,
            known.static_shapes if static_shapes is None else static_shapes,
            known.precisions if precisions is None else precisions,
        )

    def __str__(self) -> str:
        return self.name


BUILT_IN = {name.lower(): Target.of(name.lower(), name) for name in DEVICES}
