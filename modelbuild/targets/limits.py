"""What an artifact's device and runtime demand of a graph, as plain data that enters keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelbuild.targets.profile import Profile
from modelbuild.targets.release import Release, release


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``runtime`` is the oldest release that has to read the IR. Without members, the device takes everything."""

    device: str = ""
    static_shapes: bool = False
    runtime: str | None = None
    members: tuple[Profile, ...] = ()

    @property
    def shares(self) -> bool:
        """Whether it is enough that one of the members takes a node."""
        return self.device.startswith("HETERO:")

    @property
    def oldest(self) -> Release | None:
        return None if self.runtime is None else release(self.runtime)

    def plain(self) -> dict[str, Any]:
        import msgspec

        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Limits:
        import msgspec

        return msgspec.convert(plain, cls)
