"""The shared corpus of real models, which is no part of this repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

_BESIDE: Final = Path(__file__).resolve().parents[2] / "shared" / "models"
_PLACE: Final = Path(os.environ.get("MODELBUILD_CORPUS", _BESIDE))

CORPUS: Final[Path | None] = _PLACE if _PLACE.is_dir() else None
"""The corpus's folder, or None where it is absent: ``$MODELBUILD_CORPUS`` or a folder beside the repository."""


def models(kind: str) -> list[object]:
    """The folders of a format's models, to parametrize a test by; one skipped case where there are none."""
    folders = sorted((CORPUS / kind).iterdir()) if CORPUS else []
    if not folders:
        absent = pytest.mark.skip(reason=f"no corpus of {kind} models: set MODELBUILD_CORPUS to its folder")
        return [pytest.param(None, id="absent", marks=[absent, pytest.mark.models])]
    return [pytest.param(folder, id=folder.name, marks=pytest.mark.models) for folder in folders]
