"""Which files a model names besides its own."""

from __future__ import annotations

from pathlib import PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from modelbuild.project import shared
from modelbuild.project.shared import SharedNote
from modelbuild.store import Record

if TYPE_CHECKING:
    from modelbuild.digest import Digest
    from modelbuild.fetch import FetchedFile
    from modelbuild.project.builds import Builds
    from modelbuild.project.question import Questions

_NAMES = msgspec.json.Decoder(list[str])


class NamedFiles:
    """Told by reading a model, and noted for whoever has the same: a front end takes longer to import than all else."""

    def __init__(self, builds: Builds, questions: Questions) -> None:
        self._builds = builds
        self._questions = questions
        self._learnt: dict[Digest, SharedNote] = {}

    def of(self, own: FetchedFile) -> list[str]:
        """All names, its own first, relative to its folder. Leaves no trace."""
        noted = shared.read(self._builds.store, self._questions.of_file(own.sha256))
        if noted is not None and (names := _names(noted.note)) is not None:
            return [own.name, *names]
        from modelbuild.frontends.load import read_source

        started = perf_counter()
        _, *further = (file.relative_to(own.path.parent).as_posix() for file in read_source(own.path).files)
        self._learnt[own.sha256] = SharedNote(msgspec.json.encode(further), {}, perf_counter() - started)
        return [own.name, *further]

    def key(self, own: Digest) -> Digest:
        """Under which the store may say it of the model whose file has this digest."""
        return Record.key_of(self._questions.of_file(own))

    def is_news(self, own: FetchedFile) -> bool:
        return own.sha256 in self._learnt

    def keep(self, own: FetchedFile) -> None:
        """Write down what was learnt of a file that still holds the same."""
        if (learnt := self._learnt.pop(own.sha256, None)) is not None:
            shared.write(self._builds.store, self._questions.of_file(own.sha256), learnt)


def _names(note: bytes) -> list[str] | None:
    """None if it says anything but files below the model's folder."""
    try:
        names = _NAMES.decode(note)
    except msgspec.DecodeError:
        return None
    paths = [PurePosixPath(name) for name in names]
    return names if all(path.parts and not path.is_absolute() and ".." not in path.parts for path in paths) else None
