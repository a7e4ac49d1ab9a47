"""What was delivered, noted beside the cache: enough to see that nothing has changed without planning anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from modelbuild import digest, disk
from modelbuild.digest import Digest
from modelbuild.memo import SETTLING, Signature, is_settled, signature_of
from modelbuild.project.delivery import place

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.project.ledger import Ledger
    from modelbuild.project.meanwhile import Meanwhile
    from modelbuild.store import Blob


class Delivered(NamedTuple):
    """A file that was delivered. ``seen``: how it looked when it was known to hold that; None if it was too young.

    Not in the memo: that of a thousand models would be read line by line for files of which one look tells all.
    """

    size: int
    xxh3: str
    seen: Signature | None

    @classmethod
    def of(cls, blob: Blob) -> Delivered:
        """Just laid out."""
        return cls(blob.size, blob.xxh3, None)


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """``keys`` by stage are those that were answered, ``files`` go by their places relative to the artifact's folder.

    ``question`` is the digest of all that the keys depend on, ``entry`` is the xxh3 of what is noted for the report.
    """

    question: Digest
    keys: Mapping[str, Digest]
    files: Mapping[str, Delivered]
    entry: str


_GROWN = 1.5 * SETTLING
"""Seconds after which a file that was delivered is old enough to be known by how it looks."""

_DECODER = msgspec.json.Decoder(Stamp)
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Stamps:
    """The stamps of a checkout's artifacts, whose folders lie below ``output``.

    What is noted of an artifact is noted once more when its files are old enough to be known by how they look: by
    whoever does what is left ``meanwhile``, or by `settle`.
    """

    def __init__(self, ledger: Ledger, meanwhile: Meanwhile, output: Path) -> None:
        self._ledger = ledger
        self._meanwhile = meanwhile
        self._output = output
        self._read: dict[str, tuple[bytes, Stamp]] = {}
        self._young: dict[Variant, Stamp] = {}
        self._touched: set[str] = set()

    @property
    def touched(self) -> frozenset[str]:
        """The models of which anything was noted since all was settled."""
        return frozenset(self._touched)

    def of(self, variant: Variant) -> Stamp | None:
        """None if there is none, or another version wrote it: the artifact is then looked up anew."""
        name = place(variant)
        note = self._ledger.read(name)
        if note is None:
            return None
        last = self._read.get(name)
        if last is None or last[0] is not note:
            try:
                last = self._read[name] = note, _DECODER.decode(note)
            except msgspec.ValidationError:
                return None
        return last[1]

    def note(self, variant: Variant, stamp: Stamp) -> None:
        self._ledger.write(place(variant), _ENCODER.encode(stamp))
        self._touched.add(variant.model)
        self._young[variant] = stamp
        self._meanwhile.leave_for(_GROWN, variant, partial(self._settle, variant))

    def settle(self) -> None:
        """By now most files are old enough."""
        for variant in list(self._young):
            self._settle(variant)
        self._touched.clear()

    def forget(self, variant: Variant) -> None:
        self._young.pop(variant, None)
        self._ledger.forget(place(variant))

    def _settle(self, variant: Variant) -> None:
        if (stamp := self._young.pop(variant, None)) is not None:
            grown = settled(stamp, self._output / place(variant))
            self._ledger.replace(place(variant), _ENCODER.encode(stamp), _ENCODER.encode(grown))


def damage(stamp: Stamp, folder: str) -> str | None:
    """How the files in ``folder`` differ from what was delivered; None if they do not."""
    for name, file in stamp.files.items():
        path = f"{folder}/{name}"
        try:
            seen = os.lstat(path)  # once: a build with nothing to do does little else
            if signature_of(seen) == file.seen:
                continue
            if not stat.S_ISREG(seen.st_mode):
                return f"{name} is missing"
            if seen.st_size != file.size or digest.fast_of_file(Path(path)) != file.xxh3:
                return f"{name} was changed by somebody"
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        except OSError as error:
            raise disk.trouble(error, Path(path), "what is delivered") from error
    return None


def settled(stamp: Stamp, folder: Path) -> Stamp:
    """With the looks of those files that are old enough by now, each read once more."""
    return msgspec.structs.replace(
        stamp, files={name: _settled(file, folder / name) for name, file in stamp.files.items()}
    )


def _settled(file: Delivered, path: Path) -> Delivered:
    try:
        seen = signature_of(path.lstat())
        if seen == file.seen or not path.is_file() or path.is_symlink() or not is_settled(seen):
            return file
        holds = seen.size == file.size and digest.fast_of_file(path) == file.xxh3
        return file._replace(seen=seen) if holds and signature_of(path.lstat()) == seen else file
    except OSError:  # somebody took it away, or put something else there; the next look tells
        return file
