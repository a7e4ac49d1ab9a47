"""Several builds of the same things at once."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from crew import Running, artifacts, events, findings, running, times
from sites import Site

from modelbuild.store import LocalStore
from modelbuild.store.audit import audit

slow = pytest.mark.slow


@pytest.mark.parametrize(
    "command", [pytest.param(("doit",), marks=slow), ("doit", "-n", "2"), ("modelbuild", "build")], ids=" ".join
)
def test_two_builds_of_a_checkout_make_everything_once(
    site: Site, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    for ended in [build.end() for build in [Running(site, *command) for _ in range(2)]]:
        assert ended.code == 0, ended.said
    assert artifacts(site) == undisturbed
    assert findings(site.root) == []
    assert max(times(site.root, "made").values()) == 1


@slow
@pytest.mark.parametrize("round_", range(5))
def test_four_builds_of_a_checkout_make_everything_once(site: Site, undisturbed: dict[str, bytes], round_: int) -> None:
    commands = (("doit",), ("doit", "-n", "2"), ("modelbuild", "build"), ("modelbuild", "build", "-n", "2"))
    for ended in [build.end() for build in [Running(site, *command) for command in commands]]:
        assert ended.code == 0, ended.said
    assert artifacts(site) == undisturbed
    assert findings(site.root) == []
    assert max(times(site.root, "made").values()) == 1
    assert Running(site, "modelbuild", "status").end().code == 0


@slow
def test_two_builds_lose_no_records(site: Site) -> None:
    """What either has noted, the next run knows: it has nothing to do."""
    for build in [Running(site, "doit") for _ in range(2)]:
        assert build.end().code == 0
    assert "4 up to date" in Running(site, "doit").end().said


def test_checkouts_that_share_a_store_make_everything_once(
    site: Site, tmp_path: Path, known_code: Path, undisturbed: dict[str, bytes]
) -> None:
    other = Site(tmp_path / "other", known_code)
    shared = tmp_path / "shared"
    sites = (site, other)
    for ended in [build.end() for build in [Running(one, "doit", MODELBUILD_STORE=str(shared)) for one in sites]]:
        assert ended.code == 0, ended.said
    made: Counter[tuple[str, str]] = sum((times(one.root, "made") for one in sites), Counter())
    assert max(made.values()) == 1
    assert artifacts(site) == artifacts(other) == undisturbed
    assert list(audit(LocalStore(shared))) == []
    assert not (site.root / "cache" / "store").exists()


def test_a_lock_file_that_a_killed_build_left_is_not_waited_for(site: Site, undisturbed: dict[str, bytes]) -> None:
    with running(site, "doit") as build:
        build.end()
    keys = [key for _, key in times(site.root, "made")]
    for name in ("build", "cache/store/v1/records", "cache/store/v1/blobs"):
        shutil.rmtree(site.root / name)
    locks = site.root / "cache" / "store" / "v1" / "locks"
    for key in keys:
        (locks / key).touch()
    assert Running(site, "doit").end().code == 0
    assert artifacts(site) == undisturbed
    assert list(locks.iterdir()) == []
    # Where a disk is slow, the taking of a free lock is told as waiting too; whoever waits in vain does for minutes.
    assert [event for event in events(site.root) if event["what"] == "waited" and event["seconds"] > 10] == []


@slow
def test_a_build_waits_for_another_that_makes_the_same(site: Site, undisturbed: dict[str, bytes]) -> None:
    with running(site, "doit") as build:
        build.end()
    load = next(key for stage, key in times(site.root, "made") if stage == "load")
    for name in ("build", "cache/store/v1/records", "cache/store/v1/blobs"):
        shutil.rmtree(site.root / name)
    with (site.root / "cache" / "store" / "v1" / "locks" / load).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = Running(site, "doit")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.end(3)
        fcntl.flock(held, fcntl.LOCK_UN)
    assert waiting.end().code == 0
    assert ("load", load) in times(site.root, "waited")
    assert artifacts(site) == undisturbed
