"""What a stage may read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from modelbuild.digest import Digest
from modelbuild.errors import Bug
from modelbuild.stages.shelf import Origin, Shelf
from modelbuild.store import Blob, Record, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """An input that is the answer of a job."""

    origin: Origin
    record: Record
    has_asides: bool


class Inputs:
    """Files by role; what an earlier job made, by role and name. Read in place and never written to.

    A blob is checked when its path is asked for. One that turns out to be lost raises `Lost` through the stage, and
    the stage is run again once it is made again.
    """

    def __init__(self, store: Store, shelf: Shelf, given: Mapping[str, Path | Answered]) -> None:
        self._store = store
        self._shelf = shelf
        self._given = given

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self._given)

    def path(self, role: str, name: str | None = None) -> Path:
        """The file of ``role``; with a ``name``, that output of the job of ``role``."""
        match self._given[role]:
            case Path() as path if name is None:
                return path
            case Answered() as answered if name is not None:
                return self._store.path(_readable(answered, name))
        raise Bug(f"input {role!r} is {'a file' if name else 'a job, whose outputs have names'}")

    def output(self, role: str, name: str) -> Blob:
        """What output ``name`` of the job of ``role`` is, without reading it."""
        return self._answered(role).record.outputs[name].blob

    def blob(self, sha256: Digest) -> Path:
        """A blob that any input made or refers to, by its content."""
        return self._store.path(self.known(sha256))

    def known(self, sha256: Digest) -> Blob:
        blob = self.find(sha256)
        if blob is None:
            raise Bug(f"no input made or refers to blob {sha256}")
        return blob

    def find(self, sha256: Digest) -> Blob | None:
        """The blob of that content, if any input made or refers to it."""
        return self._blobs.get(sha256)

    @cached_property
    def _blobs(self) -> dict[Digest, Blob]:
        answers = [given.record for given in self._given.values() if isinstance(given, Answered)]
        return {blob.sha256: blob for record in answers for blob in record.blobs}

    def value(self, role: str, name: str, kind: type[T], parse: Callable[[Path], T], *, to_change: bool) -> T:
        """What ``parse`` makes of an output; the very object if the job that made it ran in this process.

        Handing an object over must not show in any result: it is what ``parse`` would give, and whoever will change
        it gets a copy.
        """
        answered = self._answered(role)
        kept = self._shelf.find(answered.origin, name, to_change=to_change)
        return kept if isinstance(kept, kind) else parse(self.path(role, name))

    def _answered(self, role: str) -> Answered:
        given = self._given[role]
        if not isinstance(given, Answered):
            raise Bug(f"input {role!r} is a file, not the answer of a job")
        return given


def _readable(answered: Answered, name: str) -> Blob:
    """An output whose content the key of its job fixes: a log may speak of what was aside, which no key knows."""
    output = answered.record.outputs[name]
    if output.kind == "log" and answered.has_asides:
        raise Bug(f"{name} is the log of a job with inputs aside, and may speak of others than are here now")
    return output.blob
