"""Who can look at what was made, on this machine: runtimes and devices."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from modelbuild.errors import EnvironmentTrouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.plan import Artifact
    from modelbuild.stages import Job

_RUNTIMES = ("onnxruntime", "openvino")


class Judges:
    """The runtimes that are installed and the devices that they find, each asked once."""

    def __init__(self) -> None:
        self._devices = {"CPU": True}

    @cached_property
    def can_prove(self) -> bool:
        """Whether both runtimes are installed."""
        return all(find_spec(name) is not None for name in _RUNTIMES)

    def jobs(self, artifact: Artifact) -> Iterator[Job]:
        """Those that run an artifact here, or judge what came of that."""
        if self.can_prove:
            yield artifact.prove
        if self.can_prove and self._is_here(artifact.variant.target.device):
            yield artifact.measure
        if artifact.check is not None and self._lack(artifact) is None:
            yield artifact.check

    def refuse_what_cannot_be_answered(self, artifact: Artifact) -> None:
        """Raise :class:`EnvironmentTrouble` where the manifest asks for what nobody here can look at."""
        variant = artifact.variant
        if artifact.export is not None and not self._is_here(variant.target.device):
            raise EnvironmentTrouble(
                f"{variant}: 'compile' of the target asks for a {variant.target.device}, and there is none here; "
                "build where there is one, or leave 'compile' out"
            )
        if (lack := self._lack(artifact)) is not None:
            raise EnvironmentTrouble(f"{variant}: 'check' of the manifest cannot be answered: {lack}")

    def _lack(self, artifact: Artifact) -> str | None:
        """What this machine lacks to hold an artifact against the manifest's limits."""
        check, device = artifact.model.check, artifact.variant.target.device
        if check is None or not check.needs_proof:
            return None
        if not self.can_prove:
            return "openvino and onnxruntime are not both installed: pip install 'modelbuild[prove]'"
        if check.max_latency_ratio is not None and not self._is_here(device):
            return f"there is no {device} here to take the time on; build where there is one, or drop max_latency_ratio"
        return None

    def _is_here(self, device: str) -> bool:
        """Whether the runtime finds ``device``; asked only where it is not surely there."""
        if device not in self._devices:
            from modelbuild.runtime.session import is_present

            self._devices[device] = is_present(device)
        return self._devices[device]
