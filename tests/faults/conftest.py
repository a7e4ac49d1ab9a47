from __future__ import annotations

from pathlib import Path

import pytest
from sites import Site


@pytest.fixture
def site(tmp_path: Path, known_code: Path) -> Site:
    return Site(tmp_path / "site", known_code)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, known_code: Path) -> dict[str, bytes]:
    """What an undisturbed build of `site` delivers."""
    from crew import artifacts

    site = Site(tmp_path_factory.mktemp("undisturbed") / "site", known_code)
    done = site.doit()
    assert done.returncode == 0, done.stdout + done.stderr
    return artifacts(site)
