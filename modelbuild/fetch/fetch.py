"""One source of a manifest, whatever its kind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.fetch.incoming import LFS, PATIENT, Progress, Retries, Wanted, unheard
from modelbuild.manifest import notation
from modelbuild.manifest.model import DataFile, PackageSource, PathSource, Source, UrlSource

if TYPE_CHECKING:
    from modelbuild.digest import Digest

DigestOf: TypeAlias = "Callable[[Path], Digest]"

_LONGEST = 100
_LONGEST_POINTER = 1024  # what Git LFS allows
_UNUSUAL = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """``name`` is relative to the folder of the model's own file, ``/`` between folders."""

    name: str
    path: Path
    sha256: Digest


@dataclass(frozen=True, slots=True)
class Fetched:
    """All files of a model that the manifest names, each with the content that was asked for; its own file first."""

    files: tuple[FetchedFile, ...]

    @property
    def model(self) -> Path:
        return self.files[0].path


def fetch(
    source: Source,
    *,
    root: Path,
    into: Path,
    offline: bool,
    progress: Progress | None = None,
    digest_of: DigestOf = digest.of_file,
    retries: Retries = PATIENT,
) -> Fetched:
    """Have the files of ``source`` on this machine.

    ``root`` is the folder of the manifest, ``into`` where fetched files are kept; ``digest_of`` may remember (as
    ``Memo.of`` does). Raises ``SourceError`` for a file that is not there or is another one, ``EnvironmentTrouble``
    where network, pip or disk do not do their part or ``offline`` forbids it. Safe in several processes at once.
    """
    if isinstance(source, PathSource):
        return Fetched(tuple(_local(source, root, digest_of)))
    wanted = _wanted(source, into)
    missing = [file for file in wanted if not (file.path.is_file() and digest_of(file.path) == file.sha256)]
    if missing and offline and not str(source).startswith("file:"):
        lacking = f" ({', '.join(file.where for file in missing)})" if len(wanted) > 1 else ""
        raise EnvironmentTrouble(
            f"{source}{lacking}: not here, and nothing is fetched now; run modelbuild fetch, or build without --offline"
        )
    if missing:
        _bring(source, missing, into, progress or unheard, retries)
    return Fetched(tuple(FetchedFile(file.name, file.path, file.sha256) for file in wanted))


def _bring(
    source: UrlSource | PackageSource, missing: list[Wanted], into: Path, progress: Progress, retries: Retries
) -> None:
    # Late: most of the time everything is there, and nobody waits for network and archives to be imported.
    if isinstance(source, PackageSource):
        from modelbuild.fetch.wheel import extract

        extract(source.requirement, missing, into, progress)
        return
    from modelbuild.fetch.download import download

    for file in missing:
        download(file, into, progress, retries)


def _local(source: PathSource, root: Path, digest_of: DigestOf) -> Iterator[FetchedFile]:
    real_root = os.path.realpath(root)
    own = DataFile(Path(source.path).name, source.path, source.sha256)
    for file in (own, *source.data):
        path = root / file.where
        check_local(path, file.where, real_root)
        found = digest_of(path)
        if file.sha256 not in (None, found):
            raise SourceError(f"{file.where}: has the sha256 {found}, expected is {file.sha256}")
        yield FetchedFile(file.name, path, found)


def check_local(path: Path, shown: str, real_root: str) -> None:
    """Raise `SourceError` unless ``path`` is a file below ``real_root`` that holds its content."""
    if not f"{os.path.realpath(path)}/".startswith(f"{real_root}/".replace("//", "/")):
        raise SourceError(f"{shown}: leads out of {real_root}, where the manifest lies; put the file below it")
    if not path.is_file():
        raise SourceError(f"{shown}: is {'not a file' if path.exists() else 'not there'}, expected a file")
    if path.stat().st_size > _LONGEST_POINTER:
        return
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS))
    except OSError as error:
        raise SourceError(f"{shown}: cannot be read: {error.strerror}") from error
    if head == LFS:
        raise SourceError(
            f"{shown}: is a Git LFS pointer in place of the file; git lfs pull --include {shown!r} fetches it"
        )


def _wanted(source: UrlSource | PackageSource, into: Path) -> list[Wanted]:
    """The model's own file first; all in one folder, that of this very set of files."""
    own = _own_file(source)
    named = [(file.name, file.where, file.sha256) for file in (own, *source.data)]
    _expect_plain_names(name for name, _, _ in named)
    sums = [(name, sha256) for name, _, sha256 in named if sha256]
    if len(sums) < len(named):
        raise SourceError(f"{source}: a file that is fetched needs a sha256")
    # One file is known by its own digest. Of several the same graph may come with other weights.
    address = sums[0][1] if len(sums) == 1 else digest.of_data(dict(sums))
    return [
        Wanted(name, where, sha256, into / address / name)
        for (name, where, _), (_, sha256) in zip(named, sums, strict=True)
    ]


def _own_file(source: UrlSource | PackageSource) -> DataFile:
    if isinstance(source, PackageSource):
        return DataFile(source.file.rpartition("/")[2], source.file, source.sha256)
    from urllib.parse import unquote, urlsplit

    last = unquote(urlsplit(source.url).path).rpartition("/")[2]
    name = _UNUSUAL.sub("_", last)[-_LONGEST:].lstrip(".") or "model"
    return DataFile(name, source.url, source.sha256)


def _expect_plain_names(names: Iterable[str]) -> None:
    """Raise unless each is a different file within the folder."""
    seen: set[str] = set()
    for name in names:
        try:
            plain = notation.inner_path(name)
        except ValueError as why:
            raise SourceError(f"a fetched file cannot be called so: {why}") from None
        if plain in seen:
            raise SourceError(f"two files of one model are both called {name!r}")
        seen.add(plain)
