"""Virtual environments with other releases of OpenVINO than the one that is installed, made once and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelbuild-tests"
_SECONDS = 1200


def environment(*requirements: str, newest: tuple[int, int] = (3, 11)) -> Path:
    """The Python of an environment that has ``requirements`` and is called by the first; skips where it cannot be made.

    ``newest`` is the last version of Python for which there are wheels.
    """
    python = sys.executable if sys.version_info[:2] <= newest else shutil.which("python{}.{}".format(*newest))
    if python is None:
        pytest.skip(f"{requirements[0]} needs a Python of at most {newest[0]}.{newest[1]}, and there is none")
    folder = _CACHE / requirements[0].replace("==", "-")
    made = folder / "bin" / "python"
    if not made.exists():
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            _run(python, "-m", "venv", str(draft))
            _run(str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{' '.join(command[1:])} failed: {why}")
