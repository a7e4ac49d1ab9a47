"""What others do to a build: kill it, hold its locks, fill its disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import toys

from modelbuild.errors import StoreError
from modelbuild.memo import Memo
from modelbuild.stages import Build, Event, Inputs, Job, Outputs, Params, Stage
from modelbuild.stages.history import History
from modelbuild.store import LocalStore, Record

PATIENCE = 25.0

BUILDER = """
import sys; from pathlib import Path; import toys; from modelbuild.stages import Build
root = Path(sys.argv[1])
build = Build.open(root / "cache")
for n in range(1000):
    print(flush=True)
    job = toys.artifact(root / "m.onnx", f"m{n}@cpu", device=str(n), size=300_000)
    build.deliver(job, {"m.xml": "m.xml", "m.bin": "m.bin"}, root / "build" / str(n % 2))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_text("abc")
    return path


def test_killed_at_any_moment_a_build_loses_at_most_what_was_in_flight(tmp_path: Path, model: Path) -> None:
    """And nothing that it leaves behind is damaged, or half of anything."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(toys.__file__).parent), *sys.path])}
    moments = random.Random(1)
    finished = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", BUILDER, tmp_path], env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(finished // 2 + 2):
            process.stdout.readline()
        time.sleep(moments.random() * 0.02)
        process.kill()
        process.wait()
        process.stdout.close()
        store = LocalStore(tmp_path / "cache" / "store")
        records: list[Record | None] = [store.recall(key) for key in store.keys()]  # noqa: SIM118 - no dictionary
        assert None not in records
        for record in records:
            assert record is not None
            for blob in record.blobs:
                assert store.path(blob).exists()
        assert not store.damage
        assert len(records) >= finished
        finished = len(records)
    assert finished > 2
    events: list[Event] = []
    job = toys.artifact(model, "m0@cpu", device="0", size=300_000)
    files = {"m.xml": "m.xml", "m.bin": "m.bin"}
    Build.open(tmp_path / "cache", listener=events.append).deliver(job, files, tmp_path / "build" / "0")
    assert [event.what for event in events] == ["hit"]
    delivered = [path for path in (tmp_path / "build").iterdir() if ".delivery-" not in path.name]  # drafts may be left
    assert [path.name for path in delivered if {p.name for p in path.iterdir()} != {"m.xml", "m.bin"}] == []


def test_a_holder_that_does_nothing_is_not_waited_for_for_ever(tmp_path: Path, model: Path) -> None:
    events: list[Event] = []
    store = LocalStore(tmp_path / "store")
    build = Build(store, Memo(None), History(None), listener=events.append, patience=0.2)
    job = toys.artifact(model)
    first = next(build.forecast(job).would_run()).key
    assert first is not None
    with store.lock(first.digest, patience=0):
        assert not build.ensure(job).was_hit
    assert (events[0].what, events[0].stage) == ("waited", "load")


def test_who_waits_takes_what_the_other_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = toys.trouble("await", file=str(tmp_path / "go"), log=str(tmp_path / "log"))
    runs, asks = threading.Event(), threading.Event()
    of_first: list[Event] = []
    of_second: list[Event] = []

    def hear(event: Event) -> None:
        of_first.append(event)
        if event.what == "run":
            runs.set()

    def lock(key: str, patience: float) -> AbstractContextManager[bool]:
        asks.set()
        return store.lock(key, patience)

    first = Build.open(tmp_path / "cache", listener=hear)
    second = Build.open(tmp_path / "cache", listener=of_second.append)
    store = LocalStore(tmp_path / "cache" / "store")
    monkeypatch.setattr(second.store, "lock", lock)
    threads = [threading.Thread(target=build.ensure, args=(job,), daemon=True) for build in (first, second)]
    for thread, begun in zip(threads, (runs, asks), strict=True):
        thread.start()
        assert begun.wait(PATIENCE)
    time.sleep(0.3)  # more than what is worth telling
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join()
    assert [event.what for event in of_first if event.what != "waited"] == ["run", "made"]
    assert [event.what for event in of_second] == ["waited", "hit"]
    assert len((tmp_path / "log").read_text().splitlines()) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_stage_that_fills_the_disk_is_one_line_and_leaves_nothing(small_disk: Path, model: Path) -> None:
    build = Build.open(small_disk / "cache")
    good = build.ensure(toys.artifact(model))
    with pytest.raises(StoreError, match="no space left on device") as caught:
        build.ensure(toys.artifact(model, size=5_000_000))
    assert "\n" not in str(caught.value)
    assert build.ensure(toys.artifact(model)).record == good.record
    assert build.ensure(toys.artifact(model, device="gpu")).record.outputs


def test_a_stage_that_reads_what_is_not_there_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def read(inputs: Inputs, params: Params, out: Outputs) -> None:
        (tmp_path / "nothing").read_text()

    with pytest.raises(FileNotFoundError):
        Build.open(tmp_path / "cache").ensure(Job(Stage("read", (), (), read), "m"))
