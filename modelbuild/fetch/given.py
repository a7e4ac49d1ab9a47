"""The files that an artifact is made of and judged by; among them those that a manifest names by path or pattern."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.errors import SourceError
from modelbuild.fetch.fetch import FetchedFile, check_local

if TYPE_CHECKING:
    from modelbuild.fetch.fetch import DigestOf


class GivenFiles(NamedTuple):
    """``source`` has the model's own file first. ``reference`` and ``calibration`` hold examples.

    ``extensions``, by role, define operations, handlers and rules of the user's own.
    """

    source: tuple[FetchedFile, ...]
    reference: tuple[FetchedFile, ...]
    calibration: tuple[FetchedFile, ...]
    extensions: Mapping[str, FetchedFile]

    @property
    def every(self) -> tuple[FetchedFile, ...]:
        return (*self.source, *self.reference, *self.calibration, *self.extensions.values())


def given_files(patterns: Iterable[str], root: Path, digest_of: DigestOf) -> tuple[FetchedFile, ...]:
    """All files below ``root`` that a path or pattern means, each once, in the order of their names."""
    real_root = os.path.realpath(root)
    found: dict[str, Path] = {}
    for pattern in patterns:
        matched = {path.relative_to(root).as_posix(): path for path in root.glob(pattern) if path.is_file()}
        if not matched:
            raise SourceError(f"{pattern}: no file matches; it is sought from {real_root}")
        found |= matched
    for name, path in found.items():
        check_local(path, name, real_root)
    return tuple(FetchedFile(name, path, digest_of(path)) for name, path in sorted(found.items()))
