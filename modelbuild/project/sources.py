"""The files of models: fetched where they are missing, and what is known of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from modelbuild.digest import Digest
from modelbuild.errors import BuildError
from modelbuild.fetch import FetchedFile, GivenFiles, discard_wheels, fetch, given_files
from modelbuild.memo import Signature, is_settled, signature, signature_of
from modelbuild.stages.names import EXTENSION, EXTENSION_CODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelbuild.fetch import Progress
    from modelbuild.manifest import Model
    from modelbuild.memo import Memo
    from modelbuild.project.ledger import Ledger
    from modelbuild.project.named_files import NamedFiles


class _File(NamedTuple):
    """``path`` is relative to the manifest; ``seen`` is how it looked with that digest, None if it was too young."""

    name: str
    sha256: Digest
    path: str
    seen: Signature | None


class _Note(msgspec.Struct, frozen=True):
    """The files of a model, its own first; ``asked`` is what the manifest said of them."""

    asked: str
    files: tuple[_File, ...]


_DECODER = msgspec.json.Decoder(_Note)


class Sources:
    """What is found is kept for as long as this object lives: two questions in one run get one answer."""

    def __init__(
        self, root: Path, cache: Path, memo: Memo, ledger: Ledger, named: NamedFiles, *, offline: bool
    ) -> None:
        self._root = root
        self._into = cache / "sources"
        self._memo = memo
        self._ledger = ledger
        self._named = named
        self._offline = offline
        self._found: dict[str, tuple[FetchedFile, ...]] = {}
        self._data: dict[tuple[str, ...], tuple[FetchedFile, ...]] = {}
        self._fetching = threading.Lock()

    def fetch(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """All files of a model, its own first; noted, and fetched if need be.

        Looked at anew, unless they hold what they held when they were found before in this run.
        """
        if not self._is_as_found(model):
            self._found[model.id] = self._look(model, self._offline, progress)
        found = self._found[model.id]
        self._note(model, found)
        return found

    def of(self, model: Model, progress: Progress | None = None) -> tuple[FetchedFile, ...]:
        """All files of a model, fetched if need be. Several threads may ask; one of them fetches."""
        with self._fetching:
            return self._found.get(model.id) or self.fetch(model, progress)

    def here(self, model: Model) -> tuple[FetchedFile, ...]:
        """All files of a model; raises if one would have to be fetched."""
        found = self._found.get(model.id)
        if found is None:  # `fetch` may be quicker, and knows better
            found = self._found.setdefault(model.id, self._as_noted(model) or self._look(model, offline=True))
        return found

    def is_found(self, name: str) -> bool:
        """Whether the files of a model of that name were found in this run. Looks at nothing."""
        return name in self._found

    def key(self, model: Model) -> Digest | None:
        """Under which the store may say what files belong to a model, as far as it was fetched."""
        noted = self._noted(model)
        return None if noted is None else self._named.key(noted.files[0].sha256)

    def is_noted(self, model: Model) -> bool:
        """Whether all files are there, and are those that were noted last."""
        try:
            noted = self._noted(model)
            return noted is not None and [file[:2] for file in noted.files] == [
                (file.name, file.sha256) for file in self.here(model)
            ]
        except BuildError:  # whoever fetches will meet it and say it; here it means that there is something to do
            return False

    def all_of(self, model: Model) -> GivenFiles:
        """What a model is made of and judged by, fetched if need be."""
        return self._with_data(model, self.of(model))

    def all_here(self, model: Model) -> GivenFiles:
        """The same; raises if one would have to be fetched."""
        return self._with_data(model, self.here(model))

    def calibration(self, model: Model) -> tuple[FetchedFile, ...]:
        """What the ranges of activations are measured on."""
        return self._given(model.calibration.data) if model.calibration is not None else ()

    def _with_data(self, model: Model, source: tuple[FetchedFile, ...]) -> GivenFiles:
        return GivenFiles(source, self._reference(model), self.calibration(model), dict(self._extensions(model)))

    def _reference(self, model: Model) -> tuple[FetchedFile, ...]:
        """What an artifact is held against its source on; nothing where the manifest names nothing."""
        return self._given(model.reference.data) if model.reference is not None else ()

    def _extensions(self, model: Model) -> Iterator[tuple[str, FetchedFile]]:
        """What defines operations, handlers and rules of the user's own, by the role that each file has.

        Of an installed package that is all code that its own file may import.
        """
        for i, one in enumerate(model.extensions):
            if isinstance(one, str):
                yield from ((f"{EXTENSION}{i}", file) for file in self._given((one,)))
                continue
            from modelbuild.fetch.installed import installed

            own, code = installed(one.name)
            yield f"{EXTENSION}{i}", FetchedFile(own.name, own, self._memo.of(own))
            for name, path in code.items():
                yield f"{EXTENSION_CODE}{i}/{name}", FetchedFile(name, path, self._memo.of(path))

    def known(self) -> list[Path]:
        """The files that were asked for."""
        looked_at = (*self._found.values(), *self._data.values())
        return [file.path for found in looked_at for file in found]

    def settle(self, models: Iterable[Model]) -> None:
        """Note how those files look that were too young when they were fetched."""
        for model in models:
            if model.id in self._found and self._as_noted(model) is None:
                self._note(model, self._found[model.id])

    def keep(self, model: Model) -> None:
        """Note for all who share the store which files a model names, if that was learnt just now."""
        own = self._found[model.id][0]
        if self._named.is_news(own) and self._settled(own) is not None:
            self._named.keep(own)

    def forget(self, model: Model) -> None:
        """Remove the note. What was fetched is kept: it takes a network to get it back."""
        self._ledger.forget(model.id)

    def tidy(self) -> None:
        """Remove what only a run needs."""
        discard_wheels(self._into)

    def _is_as_found(self, model: Model) -> bool:
        """Whether the files of a model are those that were found before in this run, where they were found."""
        try:
            return model.id in self._found and all(
                self._memo.of(file.path) == file.sha256 for file in self._found[model.id]
            )
        except (BuildError, OSError):  # whoever looks anew meets it and says it
            return False

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
        noted = self._noted(model)
        if noted is not None and noted.files[0][:2] == (own.name, own.sha256):
            return [file.name for file in noted.files]
        return self._named.of(own)

    def _given(self, patterns: tuple[str, ...]) -> tuple[FetchedFile, ...]:
        if patterns not in self._data:
            self._data[patterns] = given_files(patterns, self._root, self._memo.of)
        return self._data[patterns]

    # ---- notes ----

    def _noted(self, model: Model) -> _Note | None:
        note = self._ledger.read(model.id)
        try:
            return None if note is None else _DECODER.decode(note)
        except msgspec.ValidationError:  # another version wrote it
            return None

    def _as_noted(self, model: Model) -> tuple[FetchedFile, ...] | None:
        """The files that were noted, if the manifest still says the same of them and each looks as it did."""
        noted = self._noted(model)
        if noted is None or noted.asked != repr(model.source):
            return None
        if not all(
            file.seen is not None and _look_of(f"{self._root}/{file.path}") == file.seen for file in noted.files
        ):
            return None
        return tuple(FetchedFile(file.name, self._root / file.path, file.sha256) for file in noted.files)

    def _note(self, model: Model, found: tuple[FetchedFile, ...]) -> None:
        files = tuple(
            _File(file.name, file.sha256, file.path.relative_to(self._root).as_posix(), self._settled(file))
            for file in found
        )
        self._ledger.write(model.id, msgspec.json.encode(_Note(repr(model.source), files)))

    def _settled(self, file: FetchedFile) -> Signature | None:
        if not is_settled(signature(file.path)):
            return None
        now = self._memo.fingerprint(file.path)
        return now.signature if now.digest == file.sha256 else None


def _look_of(path: str) -> Signature | None:
    try:
        return signature_of(os.stat(path))  # noqa: PTH116 - asked of every model
    except OSError:
        return None
