"""What was delivered, noted beside the cache: enough to see that nothing has changed without planning anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelbuild import digest, disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.digest import Digest, Plain


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


def read(path: Path) -> Stamp | None:
    """None if there is none or it is not whole: the artifact is then looked up anew."""
    match read_plain(path):
        case {
            "question": str(question),
            "code": list(code),
            "versions": list(versions),
            "keys": dict(keys),
            "files": dict(files),
        }:
            sizes = {name: (size, xxh3) for name, (size, xxh3) in files.items()}
            return Stamp(question, tuple(code), tuple(versions), keys, sizes)
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


def read_plain(path: Path) -> Any:
    """Sealed JSON; None if it is not there or damaged."""
    try:
        body = digest.unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk.trouble(error, path) from error
    return None if body is None else json.loads(body)


def write_plain(path: Path, said: Plain) -> None:
    """Only if it changes."""
    data = digest.seal(digest.canonical(said))
    with disk.explained(path):
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk.replace(path, data, drafts=path.parent, synced=False)
