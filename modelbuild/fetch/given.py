"""Files that a manifest names by path or pattern: examples to run a model on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.errors import SourceError
from modelbuild.fetch.fetch import FetchedFile, check_local

if TYPE_CHECKING:
    from modelbuild.fetch.fetch import DigestOf


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
