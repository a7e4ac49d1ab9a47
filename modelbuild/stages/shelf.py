"""Objects handed from stage to stage within a process, to save parsing what was just written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

from modelbuild.digest import Digest

_ROOM = 4

Copy: TypeAlias = Callable[[Any], Any]


class Shelf:
    """The last few objects, by who made them. Whoever takes one gets a copy, so that changing it changes nothing.

    The subject belongs to the name because an object may hold paths: those of another model with equal content may be
    gone tomorrow.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[str, Digest, str], tuple[Any, Copy]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, subject: str, key: Digest, name: str, value: Any, copy: Copy) -> None:
        with self._lock:
            self._kept[subject, key, name] = value, copy
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)

    def copy_of(self, subject: str, key: Digest, name: str) -> Any | None:
        with self._lock:
            if (subject, key, name) not in self._kept:
                return None
            self._kept.move_to_end((subject, key, name))
            value, copy = self._kept[subject, key, name]
        return copy(value)
