"""Small files that prove themselves undamaged."""

from __future__ import annotations

from pathlib import Path

from modelbuild import digest, disk


def read(path: Path | str) -> bytes | None:
    """None if it is not there or damaged."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - done for every artifact, and twice as fast
            return digest.unseal(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk.trouble(error, Path(path)) from error


def write(path: Path, body: bytes) -> None:
    """Only if it changes."""
    data = digest.seal(body)
    with disk.explained(path):
        if not path.is_file() or path.read_bytes() != data:
            disk.replace(path, data, synced=False)
