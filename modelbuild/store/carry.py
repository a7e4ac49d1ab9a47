"""Answers in one file, to be carried to another store: a tar of blobs, then the records that name them.

Equal answers make equal bytes. What comes in is read by rules of our own, much stricter than those of tar: whole
regular files under the names that a store gives them, each checked against its name, every blob of a record there, and
nothing else. Nothing of a file that breaks a rule can be found in the store afterwards.

That proves an answer undamaged, not true: whoever can write such a file can answer a question wrongly. Import what you
would also run.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from modelbuild import digest, disk
from modelbuild.errors import SourceError, StoreError
from modelbuild.store.interface import Lost
from modelbuild.store.layout import Section
from modelbuild.store.record import Blob, Record, Tally

if TYPE_CHECKING:
    from modelbuild.digest import Digest
    from modelbuild.store.local import LocalStore

_BLOCK = 512
_NAME = re.compile(rb"v1/(?P<section>blobs|records)/(?P<start>[0-9a-f]{2})/(?P<rest>[0-9a-f]{62})")
_LARGEST_RECORD = 16 << 20


class Carried(NamedTuple):
    records: int
    blobs: int
    octets: int


def export(store: LocalStore, keys: Iterable[Digest], file: Path) -> Carried:
    """Write the answers to ``keys`` that are whole into ``file``, which appears when it is complete."""
    records = [record for key in sorted(set(keys)) if (record := store.recall(key)) is not None]
    blobs = {blob.sha256: blob for record in records for blob in record.blobs}
    with (
        disk.explained(file, "it"),
        disk.drafted(file) as draft,
        tarfile.open(fileobj=draft, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for sha256, blob in sorted(blobs.items()):
            with _whole(store, blob).open("rb") as content:
                tar.addfile(_header("blobs", sha256, blob.size), content)
        for record in records:
            data = record.encode()
            tar.addfile(_header("records", record.key, len(data)), io.BytesIO(data))
    return Carried(len(records), len(blobs), sum(blob.size for blob in blobs.values()))


def _whole(store: LocalStore, blob: Blob) -> Path:
    try:
        return store.path(blob)
    except Lost as lost:
        raise StoreError(f"{lost}, or was damaged: build again, then export") from lost


def bring_in(store: LocalStore, file: Path) -> Carried:
    """Take the answers of ``file`` in, those that are not here. Raises SourceError, and takes none, for a bad file."""
    try:
        opened = file.open("rb")
    except OSError as error:
        raise SourceError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from error
    with opened as tar, store.scratch() as folder:
        blobs: dict[Digest, Blob] = {}
        records: dict[Digest, Record] = {}
        for member in _members(tar, file):
            if member.name in (records if member.section == "records" else blobs):
                raise SourceError(f"{file}: {member} is there twice")
            if member.section == "records":
                records[member.name] = _record(member, tar, file)
            elif records:
                raise SourceError(f"{file}: {member} comes after a record; blobs come first")
            else:
                blobs[member.name] = _blob(member, tar, folder / member.name, file)
        _refuse_unless_complete(records, blobs, file)
        new = [record for record in records.values() if store.recall(record.key) is None]
        wanted = {blob.sha256: blob for record in new for blob in record.blobs}
        for sha256, blob in wanted.items():
            store.take(folder / sha256, blob)
        for record in new:
            store.publish(record)
    return Carried(len(new), len(wanted), sum(blob.size for blob in wanted.values()))


class _Member(NamedTuple):
    section: Section
    name: Digest
    size: int

    def __str__(self) -> str:
        return f"{self.section}/{self.name[:12]}"


def _header(section: Section, name: Digest, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(f"v1/{section}/{name[:2]}/{name[2:]}")
    header.size, header.mode = size, 0o444
    return header


def _members(tar: IO[bytes], file: Path) -> Iterator[_Member]:
    """The headers, each with the file positioned at its content, of which all must be read before the next."""
    size = file.stat().st_size
    while any(block := _exactly(tar, _BLOCK, file)):
        member = _member(block, f"{file}, at {tar.tell() - _BLOCK}")
        if member.size > size - tar.tell():
            raise SourceError(f"{file}: {member} claims {member.size} bytes, {size - tar.tell()} are left")
        yield member
        _exactly(tar, -member.size % _BLOCK, file)
    while rest := tar.read(digest.PIECE):
        if any(rest):
            raise SourceError(f"{file}: something comes after the end of the archive")


def _member(block: bytes, at: str) -> _Member:
    name = _NAME.fullmatch(block[:100].rstrip(b"\0"))
    if block[257:262] != b"ustar" or block[156:157] not in {b"0", b"\0"} or any(block[345:500]) or name is None:
        raise SourceError(f"{at}: not a file that an export writes: was it made by modelbuild cache export?")
    said, octets = block[148:156], sum(block[:148]) + sum(block[156:]) + 8 * 0x20
    if said.rstrip(b"\0 ") != b"%06o" % octets:
        raise SourceError(f"{at}: the header is damaged")
    size = _number(block[124:136], at)
    return _Member("blobs" if name["section"] == b"blobs" else "records", (name["start"] + name["rest"]).decode(), size)


def _number(field: bytes, at: str) -> int:
    if field[0] == 0x80:  # more than 8 GB, which octal digits cannot say
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ")
    if not re.fullmatch(rb"[0-7]{1,11}", digits):
        raise SourceError(f"{at}: the size is no number")
    return int(digits, 8)


def _blob(member: _Member, tar: IO[bytes], draft: Path, file: Path) -> Blob:
    tally = Tally()
    left = member.size
    with draft.open("xb") as out:
        while left:
            piece = _exactly(tar, min(left, digest.PIECE), file)
            tally.update(piece)
            out.write(piece)
            left -= len(piece)
    blob = tally.blob()
    if blob.sha256 != member.name:
        raise SourceError(f"{file}: {member} holds other bytes, {blob.sha256[:12]}")
    return blob


def _record(member: _Member, tar: IO[bytes], file: Path) -> Record:
    if member.size > _LARGEST_RECORD:
        raise SourceError(f"{file}: {member} has {member.size} bytes, which no record has")
    try:
        record = Record.decode(_exactly(tar, member.size, file))
        fields = record.fields
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: {member}: {error}") from error
    if record.key != member.name or not isinstance(fields, dict):
        raise SourceError(f"{file}: {member} answers another key, {record.key[:12]}")
    return record


def _refuse_unless_complete(records: dict[Digest, Record], blobs: dict[Digest, Blob], file: Path) -> None:
    named: set[Digest] = set()
    for key, record in records.items():
        for blob in record.blobs:
            if blobs.get(blob.sha256) != blob:
                raise SourceError(
                    f"{file}: records/{key[:12]} names blob {blob.sha256[:12]}, which is not in it as such"
                )
            named.add(blob.sha256)
    if superfluous := sorted(blobs.keys() - named):
        raise SourceError(f"{file}: no record names blobs/{superfluous[0][:12]}")


def _exactly(tar: IO[bytes], count: int, file: Path) -> bytes:
    read = tar.read(count)
    if len(read) != count:
        raise SourceError(f"{file}: ends in the middle of something; copy it again")
    return read
