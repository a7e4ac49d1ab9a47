"""What was delivered, noted beside the cache: enough to see that nothing has changed without planning anything."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from modelbuild import digest, disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.digest import Digest


@dataclass(frozen=True, slots=True)
class Stamp:
    """``question`` is the digest of all that ``key`` and ``proof`` depend on, ``code`` and ``versions`` name a part.

    ``files`` are those in the artifact's folder: name -> (size, xxh3). ``proof`` None: it could not be proved here.
    """

    question: Digest
    code: tuple[str, ...]
    versions: tuple[str, ...]
    key: Digest
    proof: Digest | None
    files: Mapping[str, tuple[int, str]]


def read(path: Path) -> Stamp | None:
    """None if there is none or it is not whole: the artifact is then looked up anew."""
    said = read_plain(path)
    match said:
        case {
            "question": str(question),
            "code": list(code),
            "versions": list(versions),
            "key": str(key),
            "proof": str() | None as proof,
            "files": dict(files),
        }:
            sizes = {name: (size, xxh3) for name, (size, xxh3) in files.items()}
            return Stamp(question, tuple(code), tuple(versions), key, proof, sizes)
    return None


def write(path: Path, stamp: Stamp) -> None:
    write_plain(path, asdict(stamp))


def read_plain(path: Path) -> Any | None:
    """Sealed JSON; None if it is not there or damaged."""
    try:
        body = digest.unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk.trouble(error, path) from error
    return None if body is None else json.loads(body)


def write_plain(path: Path, said: Any) -> None:
    """Only if it changes."""
    data = digest.seal(digest.canonical(said))
    with disk.explained(path):
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk.replace(path, data, drafts=path.parent, synced=False)
