"""Packing artifacts for those who only use them: a ``.tar``, a ``.zip`` or a folder, byte for byte reproducible.

Names are sorted, owners and modes fixed, nothing is compressed: weights hardly shrink, and the same bytes deflate to
others under another zlib. Times are SOURCE_DATE_EPOCH, or 1980, which is the first that a zip can say.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, TypeAlias

from modelbuild import digest, disk
from modelbuild.errors import SourceError, UsageError
from modelbuild.release import index, lock
from modelbuild.release.index import Artifact, Index

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.project import Checkout
    from modelbuild.report.document import File, Source

EPOCH: Final = 315_532_800
"""The start of 1980."""

_LATEST: Final = 4_354_819_198
"""The end of 2107, which is the last that a zip can say."""

_COMPRESSED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z")


class Content(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Add: TypeAlias = Callable[[str, int, Content], None]
"""Takes the next file: its name, its size, and its content, which is read to the end."""

Writer: TypeAlias = Callable[[Path, int], AbstractContextManager[Add]]
"""Writes a bundle to a draft, with this time for all files."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written; ``unproved`` could not be held against their sources, of ``unlicensed`` no licence is said."""

    index: Index
    unproved: tuple[Variant, ...]
    unlicensed: tuple[str, ...]


def pack(checkout: Checkout, variants: Sequence[Variant], output: Path, *, compiled: bool = False) -> Packed:
    """Write the bundle of ``variants`` to ``output``, as a whole or not at all.

    What devices' own compilers made of them, which is of use on few machines, is only packed where ``compiled`` asks
    for it. All must be up to date: else `Stale`. A file that is not what was noted when it was made is a `SourceError`.
    """
    writer, now = writer_of(output), epoch()
    files: dict[str, tuple[Path, File]] = {}
    sources: dict[str, Source] = {}
    artifacts: list[Artifact] = []
    unproved: list[Variant] = []
    for variant, entry in lock.built(checkout, variants).items():
        target = variant.target
        named = variant.model, target.name, variant.precision
        place, blobs = index.place(*named), entry.artifact.compiled if compiled else {}
        beside = index.compiled_place(*named) if blobs else None
        artifacts.append(
            Artifact(
                model=variant.model,
                target=target.name,
                device=target.device,
                precision=variant.precision,
                folder=place,
                compiled=beside,
            )
        )
        sources[variant.model] = entry.source
        for name, file in entry.artifact.files.items():
            files[f"{place}/{name}"] = checkout.folder(variant) / name, file
        for name, file in blobs.items():
            files[f"{beside}/{name}"] = checkout.compiled_folder(variant) / name, file
        if entry.artifact.proof is None:
            unproved.append(variant)
    said = Index(
        files={name: file for name, (_, file) in files.items()},
        models=sources,
        artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.folder)),
        tools=lock.tools(checkout.manifest.models[name] for name in sources),
    )
    if compiled and not any(artifact.compiled for artifact in artifacts):
        raise UsageError("--compiled: nothing of what is selected is compiled; say 'compile: true' of its target")
    text = index.encode(said)
    with _published(output) as draft, writer(draft, now) as add:
        add(index.NAME, len(text), io.BytesIO(text))
        for name, (path, file) in sorted(files.items()):
            with path.open("rb") as content:
                watched = _Watched(path, content, file)
                add(name, file.bytes, watched)
                watched.check()
    unlicensed = tuple(name for name, source in sorted(sources.items()) if source.license is None)
    return Packed(said, tuple(unproved), unlicensed)


def epoch(environment: Mapping[str, str] = os.environ) -> int:
    """The time of all files of a bundle, in seconds since 1970."""
    said = environment.get("SOURCE_DATE_EPOCH")
    if said is None:
        return EPOCH
    if not said.isascii() or not said.isdigit() or int(said[:11]) > _LATEST:
        raise UsageError(f"SOURCE_DATE_EPOCH is {said!r}: seconds since 1970 are expected, at most {_LATEST}")
    return int(said)


def writer_of(output: Path) -> Writer:
    """How to write what ``output`` is called; a `UsageError` where something is in the way."""
    if output.name.lower().endswith(_COMPRESSED):
        raise UsageError(f"{output}: bundles are not compressed: a name in .tar or .zip, or a folder")
    is_archive = output.suffix.lower() in {".tar", ".zip"}
    if is_archive and output.is_dir():
        raise UsageError(f"{output}: is a folder")
    if not is_archive and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: is there already, and is not an empty folder")
    return {".tar": _tar, ".zip": _zip}.get(output.suffix.lower(), _folder)


# ---- forms ----


@contextmanager
def _tar(draft: Path, now: int) -> Iterator[Add]:
    # GNU's form has no place for a time of access or a name of an owner that would creep in, and one for long names.
    with tarfile.open(draft, "w", format=tarfile.GNU_FORMAT) as archive:

        def add(name: str, size: int, content: Content) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = size, now, 0o644
            archive.addfile(entry, content)

        yield add


@contextmanager
def _zip(draft: Path, now: int) -> Iterator[Add]:
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, size: int, content: Content) -> None:
            entry = zipfile.ZipInfo(name, time.gmtime(max(now, EPOCH))[:6])
            entry.create_system = 3  # Unix, wherever this runs: the mode is told in its terms
            entry.external_attr = 0o100644 << 16
            entry.file_size = size
            with archive.open(entry, "w") as file:
                shutil.copyfileobj(content, file, digest.PIECE)

        yield add


@contextmanager
def _folder(draft: Path, now: int) -> Iterator[Add]:
    draft.unlink()
    draft.mkdir()

    def add(name: str, size: int, content: Content) -> None:  # noqa: ARG001 - what is read tells
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, digest.PIECE)

    yield add
    for path in (draft, *draft.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (now, now))


@contextmanager
def _published(output: Path) -> Iterator[Path]:
    """The place of a draft, which takes the place of ``output`` when all went well."""
    with disk.explained(output, "it"):
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.draft-")
        os.close(descriptor)
        draft = Path(name)
        try:
            yield draft
            if draft.is_file():
                disk.sync(draft)
                draft.chmod(0o644)
            draft.replace(output)
        except BaseException:
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            draft.unlink(missing_ok=True)
            raise


class _Watched:
    """The content of a file, which must be what was noted when it was made."""

    def __init__(self, path: Path, content: Content, noted: File) -> None:
        self._path = path
        self._content = content
        self._noted = noted
        self._left = noted.bytes
        self._sha = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._content.read(wanted)
        self._left -= len(data)
        self._sha.update(data)
        if len(data) < wanted:
            self._refuse()
        return data

    def check(self) -> None:
        """All has been read."""
        if self._content.read(1) or self._sha.hexdigest() != self._noted.sha256:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise SourceError(f"{self._path}: is not what was built; 'modelbuild build' makes it again")
