"""SIGKILL at any moment: what was finished is kept, what was not is as if it had never begun."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from crew import Running, add_large, artifacts, events, findings, running, times, wait_for
from sites import Site

DOIT = ("doit", "-n", "1"), ("doit", "-n", "2")
OURS = ("modelbuild", "build"), ("modelbuild", "build", "-n", "2")
slow = pytest.mark.slow
START = 0.3
"""Seconds that Python and doit take before the first stage can run, at least."""


def workers(command: tuple[str, ...]) -> int:
    return 2 if command[-1] == "2" else 1


def afresh(site: Site, known_code: Path) -> None:
    for name in ("build", "cache"):
        shutil.rmtree(site.root / name, ignore_errors=True)
    (site.root / "cache").mkdir()
    shutil.copy(known_code, site.root / "cache" / "memo")


def undisturbed_seconds(site: Site, command: tuple[str, ...]) -> float:
    started = time.monotonic()
    assert Running(site, *command).end().code == 0
    return time.monotonic() - started


def at_any_time(moments: random.Random, longest: float) -> Callable[[Running], None]:
    """Wait for some moment of a build that takes so many seconds."""
    return lambda _: time.sleep(moments.uniform(START, longest))


def amid_its_work(site: Site, moments: random.Random) -> Callable[[Running], None]:
    """Wait until a build has begun some of its stages; however fast the machine is, others are left then."""

    def wait(build: Running) -> None:
        enough = begun(site) + moments.randint(1, 5)
        assert wait_for(lambda: begun(site) >= enough or build.ended)

    return wait


def begun(site: Site) -> int:
    return times(site.root, "run").total()


def kill_until_built(site: Site, command: tuple[str, ...], moment: Callable[[Running], None], most: int) -> int:
    """Kill one build after the other, each when its moment has come; then let one finish. Says how many were killed."""
    killed = 0
    while killed < most:
        build = Running(site, *command)
        moment(build)
        build.kill()
        if build.end().code == 0:  # it had ended already
            break
        killed += 1
    ended = Running(site, *command).end()
    assert ended.code == 0, ended.said
    return killed


def check(site: Site, command: tuple[str, ...], killed: int, undisturbed: dict[str, bytes]) -> None:
    assert artifacts(site) == undisturbed
    assert findings(site.root) == []
    tried, made = times(site.root, "run"), times(site.root, "made")
    assert max(made.values()) == 1, "what was finished is made once"
    assert (tried - made).total() <= killed * workers(command), "what is made again was in flight"


@pytest.mark.parametrize(
    "command", [pytest.param(DOIT[0], marks=slow), DOIT[1], OURS[0], pytest.param(OURS[1], marks=slow)], ids=" ".join
)
def test_a_killed_build_is_resumed(
    site: Site, known_code: Path, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    moments = random.Random(" ".join(command))
    killed = 0
    for _ in range(5):
        killed = kill_until_built(site, command, amid_its_work(site, moments), most=3)
        if killed > 0:
            break
        afresh(site, known_code)  # it was at its end before this process had its turn
    assert killed > 0
    check(site, command, killed, undisturbed)


@slow
@pytest.mark.parametrize("command", [*DOIT, OURS[1]], ids=" ".join)
def test_a_hundred_kills_lose_nothing(
    site: Site, known_code: Path, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    moment = at_any_time(random.Random(" ".join(command)), undisturbed_seconds(site, command))
    killed = 0
    while killed < 100:
        afresh(site, known_code)
        now = kill_until_built(site, command, moment, most=20)
        check(site, command, now, undisturbed)
        killed += now


@pytest.mark.parametrize(
    "command",
    [("doit", "-c", "-n", "2"), pytest.param(("modelbuild", "build", "-k", "-n", "2"), marks=slow)],
    ids=lambda command: command[0],
)
def test_a_killed_worker_is_a_failed_task_and_the_others_go_on(
    site: Site, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    add_large(site, "big", 32)
    with running(site, *command) as build:
        assert wait_for(lambda: ("load", "big") in [(one["stage"], one["subject"]) for one in events(site.root)])
        for pid in build.workers():
            os.kill(pid, signal.SIGKILL)
        ended = build.end()
    assert ended.code == (2 if command[0] == "doit" else 1), ended.said  # to doit, what cannot run for it is broken
    assert "killed by SIGKILL" in ended.said
    there = artifacts(site)
    lost = {Path(name).parent for name in undisturbed.keys() - there.keys()}
    assert len(lost) < workers(command), "one worker was at the large model; what another was at may be lost too"
    assert all(there[name] == data for name, data in undisturbed.items() if name in there)
    assert Running(site, *command).end().code == 0
    assert undisturbed.items() <= artifacts(site).items()
    assert (site.root / "build" / "big" / "cpu" / "FP32" / "big.bin").stat().st_size == 32 << 20
    assert findings(site.root) == []


def test_a_stage_that_takes_too_long_is_stopped_and_the_others_go_on(site: Site, undisturbed: dict[str, bytes]) -> None:
    add_large(site, "big", 32)
    ended = Running(site, "modelbuild", "build", "-k", "one", "two").end()
    assert ended.code == 0, ended.said
    ended = Running(site, "modelbuild", "build", "-k", "--timeout", "0.001s").end()
    assert ended.code == 1
    assert "took longer than 0.001 s and was stopped" in ended.said
    assert artifacts(site) == undisturbed


def test_what_does_not_fit_into_memory_together_runs_one_after_the_other(
    site: Site, undisturbed: dict[str, bytes]
) -> None:
    build = Running(site, "doit", "-n", "2", MODELBUILD_MEMORY="1MB")
    ended = build.end()
    assert ended.code == 0, ended.said
    assert artifacts(site) == undisturbed
    running = 0
    for event in events(site.root):
        running += {"run": 1, "made": -1}.get(event["what"], 0)
        assert running <= 1
