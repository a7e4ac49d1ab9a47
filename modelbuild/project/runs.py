"""What each run did: ``cache/runs/<utc>-<pid>.jsonl``, an event a line."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from modelbuild import disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modelbuild.stages import Event

_KEPT = 200
_ENCODER = msgspec.json.Encoder()


class Runs:
    """The notes of this process and its forks; there is no file before something happens."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.path = folder / f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
        self._end = disk.Appender(self.path)

    def line(self, event: Event) -> bytes:
        """What is heard now, to be noted."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return _ENCODER.encode({"at": at, **event.plain()}) + b"\n"

    def note(self, lines: Sequence[bytes]) -> None:
        if lines:
            with disk.explained(self.path):
                self._end.write(b"".join(lines))

    def forget_oldest(self) -> None:
        for path in sorted(self.path.parent.glob("*.jsonl"))[:-_KEPT]:
            path.unlink(missing_ok=True)
