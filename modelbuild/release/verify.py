"""Check a bundle, with nothing but Python's own library: this file alone will do, on a machine that has nothing else.

::

    python -m modelbuild.release.verify FILE
    python verify.py FILE

A bundle comes from outside and may be made to harm. Nothing is unpacked. What is listed must be there with its size and
sha256, what is there must be listed, and anything but a plain file under a plain name is refused: links, devices,
paths that lead elsewhere, a name twice, compression, and lengths that the file does not have.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

_INDEX = "index.json"
_SIGNATURES = "signatures/"
_FORMAT = 1
_LARGEST_INDEX = 16 << 20
_LARGEST_READ = 16 << 20
_LONGEST_NAME = 1 << 12
_PIECE = 1 << 20
_BLOCK = 512
_END = 22  # bytes of what ends a zip without a comment


class Refused(Exception):
    """Why a file is no bundle that can be trusted to be whole."""


class Member(NamedTuple):
    """A file of a bundle; ``open`` gives its content, which has at least ``size`` bytes or ends early."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


class Verified(NamedTuple):
    """What was found to be as the index says, and what signatures lie there that nobody checked."""

    said: dict[str, Any]
    files: int
    size: int
    signatures: tuple[str, ...]
    index_sha256: str


def verify(path: Path) -> Verified:
    """Check the bundle at ``path``: a tar, a zip or a folder. Raises `Refused`."""
    try:
        with _members(path) as found:
            return _check(found)
    except OSError as error:
        raise Refused(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _check(members: dict[str, Member]) -> Verified:
    if _INDEX not in members:
        raise Refused(f"holds no {_INDEX}")
    text = _content(members.pop(_INDEX), _LARGEST_INDEX)
    index = _parse(text, _INDEX)
    listed = _listed(index)
    signatures = sorted(name for name in members if name.startswith(_SIGNATURES) and name not in listed)
    if strangers := sorted(members.keys() - listed.keys() - set(signatures)):
        raise Refused(f"holds {strangers[0]!r}, which the index does not list")
    if missing := sorted(listed.keys() - members.keys()):
        raise Refused(f"{missing[0]!r} is listed in the index, and is not there")
    for name, (size, sha256) in sorted(listed.items()):
        if members[name].size != size:
            raise Refused(f"{name!r} has {members[name].size} bytes, the index says {size}")
        if _sha256(members[name]) != sha256:
            raise Refused(f"{name!r} has another content than the index says")
    _check_artifacts(index, members, listed)
    total = sum(size for size, _ in listed.values())
    return Verified(index, len(listed), total, tuple(signatures), hashlib.sha256(text).hexdigest())


# ---- what the index says ----


def _listed(index: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Path -> size and sha256."""
    if index.get("format") != _FORMAT:
        raise Refused(f"is of format {index.get('format')!r}, this verifies format {_FORMAT}")
    found: dict[str, tuple[int, str]] = {}
    for name, said in _field(index, "files", dict).items():
        size, sha256 = _field(said, "bytes", int), _field(said, "sha256", str)
        found[_plain(name)] = size, sha256
    return found


def _check_artifacts(index: dict[str, Any], members: dict[str, Member], listed: dict[str, tuple[int, str]]) -> None:
    """Every artifact is a whole, its provenance speaks of it, and there is nothing else."""
    expected: set[str] = set()
    for artifact in _field(index, "artifacts", list):
        model, folder = _field(artifact, "model", str), _field(artifact, "folder", str)
        if model not in _field(index, "models", dict):
            raise Refused(f"the index says nothing of where {model!r} comes from")
        expected |= _whole(artifact, folder, (f"{model}.xml", f"{model}.bin"), members, listed)
        if artifact.get("compiled") is not None:
            beside = _field(artifact, "compiled", str)
            expected |= _whole(artifact, beside, (f"{model}.blob",), members, listed)
    if index.get("bill_of_materials") is not None:
        expected.add(_field(index, "bill_of_materials", str))
    if strangers := sorted(listed.keys() - expected):
        raise Refused(f"{strangers[0]!r} belongs to no artifact")


def _whole(
    artifact: dict[str, Any],
    folder: str,
    names: tuple[str, ...],
    members: dict[str, Member],
    listed: dict[str, tuple[int, str]],
) -> set[str]:
    """The files of ``folder``: those of these names and the provenance, which speaks of them and of the artifact."""
    files = {name: f"{folder}/{name}" for name in names}
    provenance = f"{folder}/provenance.json"
    if missing := sorted({*files.values(), provenance} - listed.keys()):
        raise Refused(f"{missing[0]!r} is missing: {folder!r} is no whole artifact")
    said = _parse(_content(members[provenance], _LARGEST_INDEX), provenance)
    for name in ("model", "target", "device", "precision"):
        if said.get(name) != _field(artifact, name, str):
            raise Refused(f"{provenance!r} speaks of {name} {said.get(name)!r}, the index of {artifact[name]!r}")
    if said.get("files") != {name: _plain_file(*listed[path]) for name, path in files.items()}:
        raise Refused(f"{provenance!r} speaks of other files than lie beside it")
    return {*files.values(), provenance}


def _plain_file(size: int, sha256: str) -> dict[str, Any]:
    return {"bytes": size, "sha256": sha256}


def _field(said: Any, name: str, kind: type[Any]) -> Any:
    if not isinstance(said, dict) or type(said.get(name)) is not kind:
        raise Refused(f"the index has no {name!r} that is a {kind.__name__} where one is needed")
    return said[name]


def _parse(text: bytes, name: str) -> dict[str, Any]:
    try:
        said = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name!r} is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise Refused(f"{name!r} is no JSON object")
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a name that stands twice would see two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _plain(name: str) -> str:
    """``name``, if it means the same file below a folder on every system."""
    parts = name.split("/")
    if not name or len(name) > _LONGEST_NAME or any(part in {"", ".", ".."} for part in parts):
        raise Refused(f"{name[:200]!r} is no path within a bundle")
    if not name.isprintable() or any(sign in name for sign in '\\:*?"<>|'):
        raise Refused(f"{name[:200]!r} has signs that a name in a bundle may not have")
    return name


# ---- content ----


def _content(member: Member, limit: int) -> bytes:
    if member.size > limit:
        raise Refused(f"{member.name!r} has {member.size} bytes, at most {limit} are read")
    with member.open() as file:
        return file.read(member.size)


def _sha256(member: Member) -> str:
    sha, left = hashlib.sha256(), member.size
    with member.open() as file:
        while left and (piece := file.read(min(left, _PIECE))):
            sha.update(piece)
            left -= len(piece)
    return sha.hexdigest()


# ---- the three forms ----


@contextmanager
def _members(path: Path) -> Iterator[dict[str, Member]]:
    """The files of a bundle by name."""
    if path.is_dir() and not path.is_symlink():
        yield _by_name(_of_folder(path))
        return
    with path.open("rb") as file:
        is_zip = file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}
        size = os.fstat(file.fileno()).st_size
        yield _by_name(_of_zip(file, size) if is_zip else _of_tar(file, size))


def _by_name(members: Iterator[Member]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    folded: set[str] = set()
    for member in members:
        if _plain(member.name).casefold() in folded:
            raise Refused(f"{member.name!r} is there twice, or differs in case only")
        folded.add(member.name.casefold())
        found[member.name] = member
    return found


def _of_folder(root: Path) -> Iterator[Member]:
    for parent, folders, files in os.walk(root, onerror=_raise):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            inner = path.relative_to(root).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield Member(inner, path.lstat().st_size, lambda path=path: path.open("rb"))  # type: ignore[misc]
            elif not stat.S_ISDIR(mode):
                raise Refused(f"{inner!r} is a link or no file")


def _raise(error: OSError) -> NoReturn:
    raise error


def _of_tar(file: IO[bytes], size: int) -> Iterator[Member]:
    """Blocks are walked by hand: ``tarfile`` reads headers of any length, and follows any number of them."""
    name: str | None = None
    at = 0
    while any(block := _read(file, at, _BLOCK, size)):
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise Refused(f"is neither a tar nor a zip: at byte {at}, {error}") from error
        start, at = at + _BLOCK, at + _BLOCK + -(-entry.size // _BLOCK) * _BLOCK
        if entry.size < 0 or at > size:
            raise Refused(f"ends within {entry.name!r}, or says a wrong size of it")
        if entry.type == tarfile.GNUTYPE_LONGNAME and name is None and entry.size <= _LONGEST_NAME:
            name = _read(file, start, entry.size, size).rstrip(b"\0").decode("utf-8", "backslashreplace")
            continue
        if entry.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            raise Refused(f"{entry.name!r} is no plain file: a link, a folder or type {entry.type!r}")
        yield Member(name or entry.name, entry.size, _part(file, start, entry.size))
        name = None
    if at + 2 * _BLOCK > size:
        raise Refused(f"ends at byte {size}, within what ends a tar")
    while at < size:
        if any(_read(file, at, min(_PIECE, size - at), size)):
            raise Refused("something follows its end")
        at += _PIECE


def _of_zip(file: IO[bytes], size: int) -> Iterator[Member]:
    """Only the directory is left to ``zipfile``; what it says of a file must be what stands before that file."""
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise Refused(f"is no zip that can be read: {error}") from error
    end = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Refused(f"{entry.filename!r} is compressed")
        if entry.flag_bits & ~0x800 or not stat.S_ISREG(entry.external_attr >> 16):
            raise Refused(f"{entry.filename!r} is a link, a folder, encrypted, or no file")
        if entry.header_offset != end:
            raise Refused(f"{entry.orig_filename!r} does not begin where the file before it ends")
        header = _read(file, end, 30, size)
        signature, length, extra = struct.unpack("<4s22xHH", header)
        start = end + 30 + length + extra
        end = start + entry.file_size
        if signature != b"PK\x03\x04" or end > size:
            raise Refused(f"{entry.filename!r} is not where the directory of the zip says")
        if _read(file, start - extra - length, length, size).decode("utf-8", "backslashreplace") != entry.filename:
            raise Refused(f"{entry.filename!r} has another name before its content")
        yield Member(entry.filename, entry.file_size, _part(file, start, entry.file_size))
    if archive.start_dir != end:
        raise Refused("something lies between its files and its directory")
    if archive.comment or _read(file, size - _END, 4, size) != b"PK\x05\x06":
        raise Refused("something follows its end")


def _read(file: IO[bytes], at: int, count: int, size: int) -> bytes:
    if count > size - at:
        raise Refused(f"ends at byte {size}, before all that it says is in it")
    file.seek(at)
    return file.read(count)


def _part(file: IO[bytes], start: int, size: int) -> Callable[[], IO[bytes]]:
    return lambda: io.BufferedReader(_Part(file, start, size), _PIECE)


class _Part(io.RawIOBase):
    """``size`` bytes of a file from ``start`` on."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._at)
        data = self._file.read(min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """A file of which nobody reads much at once, whatever lengths stand in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(min(size, _LARGEST_READ) if size >= 0 else _LARGEST_READ)
        if len(data) == _LARGEST_READ:
            raise ValueError("its directory is too long")
        return data


def main(arguments: list[str]) -> int:
    """What ``python verify.py FILE`` does; the exit code is that of ``modelbuild verify``."""
    if len(arguments) != 1:
        print("usage: verify.py FILE", file=sys.stderr)  # noqa: T201
        return 3
    try:
        print(summary(verify(Path(arguments[0]))))  # noqa: T201
    except Refused as refusal:
        print(f"{arguments[0]}: {refusal}", file=sys.stderr)  # noqa: T201
        return 5
    return 0


def summary(found: Verified) -> str:
    """What a person is told of a good bundle."""
    lines = [
        f"{artifact['model']}@{artifact['target']}:{artifact['precision']}  {artifact['folder']}"
        for artifact in found.said["artifacts"]
    ]
    lines += [f"{name}: a signature, which was not checked" for name in found.signatures]
    lines.append(f"{found.files} files, {found.size} bytes, all as listed in the index")
    lines.append(f"sha256 of the index: {found.index_sha256}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
