"""Objects handed from stage to stage within a process, to save parsing what was just written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from modelbuild.digest import Digest
from modelbuild.memo import Fingerprint

_ROOM = 6  # three stages of each of two models, which a build makes in turn

Copy: TypeAlias = Callable[[Any], Any]


class Origin(NamedTuple):
    """Which answer, and the files that whoever made it could read.

    An object may point into those files. Equal answers can come from other files, where things lie elsewhere.
    """

    key: Digest
    files: tuple[tuple[Path, Fingerprint], ...]


class Shelf:
    """The last few objects, by the output that they are. Whoever will change one gets a copy: that changes nothing."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[Origin, str], tuple[Any, Copy]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, origin: Origin, name: str, value: Any, copy: Copy) -> None:
        with self._lock:
            self._kept[origin, name] = value, copy
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)

    def find(self, origin: Origin, name: str, *, to_change: bool) -> Any | None:
        with self._lock:
            if (origin, name) not in self._kept:
                return None
            self._kept.move_to_end((origin, name))
            value, copy = self._kept[origin, name]
        return copy(value) if to_change else value
