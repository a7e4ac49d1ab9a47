"""The folders of artifacts below ``build/``: which are ours, and taking them away again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import disk
from modelbuild.stages.names import PROVENANCE, delivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.manifest import Variant

REPORTS = ("report.json", "report.html")
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """A folder that holds an artifact. ``files`` are the names of ours in it; others may lie beside them."""

    folder: Path
    model: str
    files: tuple[str, ...]


def place(variant: Variant) -> str:
    """Where a variant is delivered, below ``build/``. As text: thousands are asked for where there is nothing to do."""
    return f"{variant.model}/{variant.target.name}/{variant.precision}"


def compiled_place(variant: Variant) -> str:
    """Where what a device's compiler makes of it is delivered: beside it, because it is of no use elsewhere."""
    return f"{place(variant)}.compiled"


def names(variant: Variant) -> tuple[str, ...]:
    """What lies there."""
    return tuple(delivered(variant.model))


def at(folder: Path) -> Delivery | None:
    """The delivery in ``folder``, known by its provenance; None for a folder that is somebody else's."""
    path = folder / PROVENANCE
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST:
            return None
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    match said:
        case {"model": str(model), "tools": {"modelbuild": str()}, "files": dict(files)}:
            named = [name for name in files if Path(name).name == name]
            return Delivery(folder, model, (*named, PROVENANCE))
    return None


def below(root: Path) -> Iterator[Delivery]:
    """All deliveries below ``root``, in order. Links to folders are not followed, hidden folders not entered."""
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if PROVENANCE in files and (found := at(Path(parent))) is not None:
            yield found


def remove(delivery: Delivery, root: Path, *, dry: bool = False) -> list[Path]:
    """Take our files away, and the folders up to ``root`` that are empty then; says what goes, which ``dry`` leaves."""
    paths = [path for name in delivery.files if (path := delivery.folder / name).is_file() or path.is_symlink()]
    if dry:
        return paths
    with disk.explained(delivery.folder, "what is delivered"):
        for path in paths:
            path.unlink()
        folder = delivery.folder
        while folder != root and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
    return paths
