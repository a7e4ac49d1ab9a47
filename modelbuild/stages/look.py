"""What is seen of the world while one thing is asked."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

from modelbuild.digest import Digest
from modelbuild.memo import Fingerprint
from modelbuild.stages.job import Job
from modelbuild.stages.key import Key
from modelbuild.store import Record


@dataclass(slots=True)
class Look:
    """Files by what they held, jobs by their keys, keys by their answers, each found out once.

    Several questions that share one get answers that fit together. A file too young for the memo is read once for all
    of them, and once more when a stage that read it ends. Keys stay true when answers are lost and made again: equal
    questions have equal answers. Whether the blobs of an answer are there is looked at every time.
    """

    files: dict[Path, Fingerprint] = field(default_factory=dict)
    keys: dict[Job, Key] = field(default_factory=dict)
    records: dict[Digest, Record] = field(default_factory=dict)


class Looks:
    """Those at the last few things that were asked about. For one thread at a time."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: dict[Hashable, Look] = {}

    def at(self, thing: Hashable) -> Look:
        look = self._kept[thing] = self._kept.pop(thing) if thing in self._kept else Look()
        if len(self._kept) > self._room:
            del self._kept[next(iter(self._kept))]
        return look
