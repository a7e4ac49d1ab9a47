"""The files of models: fetched where they are missing, and what is known of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from modelbuild.errors import BuildError
from modelbuild.fetch import FetchedFile, discard_wheels, fetch, given_files
from modelbuild.project import stamp

if TYPE_CHECKING:
    from pathlib import Path

    from modelbuild.digest import Plain
    from modelbuild.fetch import Progress
    from modelbuild.manifest import Model
    from modelbuild.memo import Memo


class Sources:
    """What is found is kept for as long as this object lives: two questions in one run get one answer."""

    def __init__(self, root: Path, cache: Path, memo: Memo, *, offline: bool) -> None:
        self._root = root
        self._into = cache / "sources"
        self._stamps = cache / "source-stamps"
        self._memo = memo
        self._offline = offline
        self._found: dict[str, tuple[FetchedFile, ...]] = {}
        self._data: dict[tuple[str, ...], tuple[FetchedFile, ...]] = {}
        self._fetching = threading.Lock()

    def fetch(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """All files of a model, its own first; looked at anew, fetched if need be, and noted."""
        found = self._found[model.id] = self._look(model, self._offline, progress)
        stamp.write_plain(self._stamp(model), _plain(found))
        return found

    def of(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """All files of a model, fetched if need be. Several threads may ask; one of them fetches."""
        with self._fetching:
            return self._found.get(model.id) or self.fetch(model, progress)

    def here(self, model: Model) -> tuple[FetchedFile, ...]:
        """All files of a model; raises if one would have to be fetched."""
        if model.id not in self._found:
            self._found[model.id] = self._look(model, offline=True)
        return self._found[model.id]

    def reference(self, model: Model) -> tuple[FetchedFile, ...]:
        """What an artifact is held against its source on; nothing where the manifest names nothing."""
        return self._given(model.reference.data) if model.reference is not None else ()

    def calibration(self, model: Model) -> tuple[FetchedFile, ...]:
        """What the ranges of activations are measured on."""
        return self._given(model.calibration.data) if model.calibration is not None else ()

    def is_noted(self, model: Model) -> bool:
        """Whether all files are there, and are those that were noted last."""
        try:
            return bool(stamp.read_plain(self._stamp(model)) == _plain(self.here(model)))
        except BuildError:  # whoever fetches will meet it and say it; here it means that there is something to do
            return False

    def known(self) -> list[Path]:
        """The files that were asked for."""
        looked_at = (*self._found.values(), *self._data.values())
        return [file.path for found in looked_at for file in found]

    def forget(self, model: Model, *, dry: bool) -> list[Path]:
        """Remove the note. What was fetched is kept: it takes a network to get it back."""
        path = self._stamp(model)
        if not path.exists():
            return []
        if not dry:
            path.unlink()
        return [path]

    def tidy(self) -> None:
        """Remove what only a run needs."""
        discard_wheels(self._into)

    def _given(self, patterns: tuple[str, ...]) -> tuple[FetchedFile, ...]:
        if patterns not in self._data:
            self._data[patterns] = given_files(patterns, self._root, self._memo.of)
        return self._data[patterns]

    def _look(self, model: Model, offline: bool, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        digest_of = self._memo.of
        fetched = fetch(
            model.source, root=self._root, into=self._into, offline=offline, progress=progress, digest_of=digest_of
        )
        folder = fetched.model.parent
        listed = {file.name for file in fetched.files}
        further = [name for name in self._read_by(model, fetched.files[0]) if name not in listed]
        return (*fetched.files, *(FetchedFile(name, folder / name, digest_of(folder / name)) for name in further))

    def _read_by(self, model: Model, own: FetchedFile) -> list[str]:
        """The names of all files that a model consists of; read only if its own file is another than was noted."""
        noted: list[list[str]] | None = stamp.read_plain(self._stamp(model))
        if noted and noted[0] == [own.name, own.sha256]:
            return [name for name, _ in noted]
        from modelbuild.frontends.load import read_source

        return [file.relative_to(own.path.parent).as_posix() for file in read_source(own.path).files]

    def _stamp(self, model: Model) -> Path:
        return self._stamps / f"{model.id}.json"


def _plain(files: tuple[FetchedFile, ...]) -> Plain:
    return [[file.name, file.sha256] for file in files]
