"""What each run did: ``cache/runs/<utc>-<pid>.jsonl``, an event a line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelbuild import disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT = 200


class Runs:
    """The notes of this process and its forks; there is no file before something happens."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.path = folder / f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
        self._end = disk.Appender(self.path)

    def note(self, said: Mapping[str, Any]) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **said}, ensure_ascii=False)
        with disk.explained(self.path):
            self._end.write(f"{line}\n".encode())

    def forget_oldest(self) -> None:
        for path in sorted(self.path.parent.glob("*.jsonl"))[:-_KEPT]:
            path.unlink(missing_ok=True)
