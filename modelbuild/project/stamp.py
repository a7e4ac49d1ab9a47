"""What was delivered, noted beside the cache: enough to see that nothing has changed without planning anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelbuild import digest, disk
from modelbuild.digest import Digest

if TYPE_CHECKING:
    from modelbuild.digest import Plain


@dataclass(frozen=True, slots=True)
class Stamp:
    """``keys`` by stage are those that were answered, ``files`` lie in the artifact's folder: name -> (size, xxh3).

    ``question`` is the digest of all that the keys depend on; ``code`` and ``versions`` name what of it is not said by
    the manifest and the sources.
    """

    question: Digest
    code: tuple[str, ...]
    versions: tuple[str, ...]
    keys: Mapping[str, Digest]
    files: Mapping[str, tuple[int, str]]


_DECODER = msgspec.json.Decoder(Stamp)


def read(path: Path | str) -> Stamp | None:
    """None if there is none or it is not whole: the artifact is then looked up anew."""
    body = _body(path)
    try:
        return None if body is None else _DECODER.decode(body)
    except msgspec.ValidationError:  # another version wrote it
        return None


def write(path: Path, noted: Stamp) -> None:
    said: Plain = {
        "question": noted.question,
        "code": noted.code,
        "versions": noted.versions,
        "keys": dict(noted.keys),
        "files": dict(noted.files),
    }
    write_plain(path, said)


def read_plain(path: Path | str) -> Any:
    """Sealed JSON; None if it is not there or damaged."""
    body = _body(path)
    return None if body is None else msgspec.json.decode(body)


def _body(path: Path | str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - done for every artifact, and twice as fast
            return digest.unseal(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk.trouble(error, Path(path)) from error


def write_plain(path: Path, said: Plain) -> None:
    """Only if it changes."""
    data = digest.seal(digest.canonical(said))
    with disk.explained(path):
        if not path.is_file() or path.read_bytes() != data:
            disk.replace(path, data, drafts=path.parent, synced=False)
