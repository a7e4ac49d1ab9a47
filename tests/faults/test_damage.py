"""What people, disks and other programs do to files: noticed, set aside, made again, told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crew import add_large, artifacts, findings
from sites import Site, write_model

from modelbuild.cli import run
from modelbuild.errors import StageError
from modelbuild.project import Checkout
from modelbuild.project.judging import Judges
from modelbuild.stages import Event
from modelbuild.store import LocalStore, Record

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def built(built_site: Site) -> Site:
    """A checkout in which all is built, in this process from here on."""
    list(built_site.events())
    return built_site


def store(site: Site) -> LocalStore:
    return LocalStore(site.root / "cache" / "store")


def delivered(site: Site) -> Record:
    """The record of one@cpu:FP32 as it is delivered."""
    with Checkout.open(site.manifest) as checkout:
        *_, last = checkout.chain(checkout.manifest.variants()[1])
        record = last.record
        assert record is not None
        return record


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 1)


DAMAGES: tuple[Callable[[Path], None], ...] = (flip, cut, Path.unlink)
slow = pytest.mark.slow


# ---- the store ----


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("output", ["model.xml", "model.bin", "provenance.json"])
def test_a_damaged_blob_is_told_set_aside_and_made_again(
    built: Site, undisturbed: dict[str, bytes], capsys: Capture, damage: Callable[[Path], None], output: str
) -> None:
    damage(store(built).place("blobs", delivered(built).outputs[output].blob.sha256))
    shutil.rmtree(built.root / "build")
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed
    assert findings(built.root) == []
    if damage is not Path.unlink:
        assert "damaged blob" in capsys.readouterr().err
        assert len(list((store(built).home / "quarantine").iterdir())) == 1
    assert any("lost" in str(event["why"]) for event in built.events() if event["what"] == "made")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_records_are_set_aside_and_made_again(
    built: Site, undisturbed: dict[str, bytes], damage: Callable[[Path], None]
) -> None:
    with Checkout.open(built.manifest) as checkout:
        variant = checkout.manifest.variants()[1]
        # Of a report made before, nothing is asked again: what is made anew took another time, and is told anew.
        keys = checkout.keys(variant) - {checkout.reporting.key(checkout.model(variant))}
    assert delivered(built).key in keys
    for key in keys:
        damage(store(built).place("records", key))
    shutil.rmtree(built.root / "build")
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed
    assert findings(built.root) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_of_the_store_may_be_damaged(
    built: Site, undisturbed: dict[str, bytes], damage: Callable[[Path], None]
) -> None:
    shutil.rmtree(built.root / "build")
    for kind in ("blobs", "records"):
        for path in sorted((store(built).home / kind).glob("??/*")):
            damage(path)
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed


def test_verify_finds_what_repair_mends(built: Site, undisturbed: dict[str, bytes], capsys: Capture) -> None:
    flip(store(built).place("blobs", delivered(built).outputs["model.bin"].blob.sha256))
    cut(store(built).place("records", delivered(built).key))
    (store(built).home / "blobs" / "notes.txt").write_text("mine")
    assert run(["cache", "verify"]) == 5
    said = capsys.readouterr().out
    assert "holds other bytes" in said
    assert "blobs/notes.txt: is none of ours" in said
    assert run(["cache", "repair"]) == 0
    assert run(["cache", "verify"]) == 0
    assert artifacts(built) == undisturbed


def test_nothing_is_found_once_what_went_before_is_mended(
    built: Site, undisturbed: dict[str, bytes], capsys: Capture
) -> None:
    with Checkout.open(built.manifest) as checkout:
        *_, graph = (one for one in checkout.chain(checkout.manifest.variants()[1]) if one.job.stage.name == "optimize")
    assert graph.record is not None
    flip(store(built).place("blobs", graph.record.blobs[0].sha256))
    assert run(["cache", "verify"]) == 5
    assert run(["cache", "repair"]) == 0
    assert run(["cache", "verify"]) == 0
    assert run(["status"]) == 0
    assert artifacts(built) == undisturbed


def test_the_memory_of_a_checkout_may_be_damaged(built: Site, undisturbed: dict[str, bytes]) -> None:
    for path in sorted((built.root / "cache").rglob("*")):
        if path.is_file() and "store" not in path.parts:
            flip(path)
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed


# ---- what is delivered, and what it is made of ----


def test_a_source_changed_with_its_time_stamp_kept_is_noticed(built: Site) -> None:
    source = built.root / "src" / "one.onnx"
    before = source.stat()
    flip_weight(source)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size == before.st_size
    assert run(["status"]) == 4
    assert run(["build"]) == 0
    assert [ran for ran in built.ran() if ran.startswith("load")] == ["load one"]


def test_pairs_swapped_by_hand_are_put_right(built: Site, undisturbed: dict[str, bytes]) -> None:
    one, other = built.folder("one", "FP32") / "one.bin", built.folder("two", "FP32") / "two.bin"
    assert one.stat().st_size == other.stat().st_size
    one.rename(built.root / "aside")
    other.rename(one)
    (built.root / "aside").rename(other)
    assert run(["status"]) == 4
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed
    assert built.ran() == []


@pytest.mark.parametrize("name", ["one.xml", "one.bin"])
def test_an_edit_of_what_is_delivered_does_not_reach_the_store(
    built: Site, undisturbed: dict[str, bytes], name: str
) -> None:
    with (built.folder() / name).open("r+b") as file:
        file.write(b"#")
    assert findings(built.root) == []
    assert run(["build"]) == 0
    assert artifacts(built) == undisturbed


def test_an_input_that_changes_while_its_stage_runs_is_not_stored(built: Site) -> None:
    source = built.root / "src" / "one.onnx"
    before = artifacts(built)
    write_model(source, scale=3.0)

    def interfere(event: Event) -> None:
        if (event.what, event.stage) == ("run", "load"):
            write_model(source, scale=4.0)

    with (
        Checkout.open(built.manifest, listener=interfere) as checkout,
        pytest.raises(StageError, match="changed while"),
    ):
        checkout.make(checkout.manifest.variants()[0])
    assert artifacts(built) == before
    assert run(["build"]) == 0
    once_more = Site(built.root.parent / "once-more")
    write_model(once_more.root / "src" / "one.onnx", scale=4.0)
    assert once_more.run("modelbuild", "build").returncode == 0
    assert artifacts(built) == artifacts(once_more)


def test_a_clock_that_is_set_back_hides_no_change(built: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    an_hour = 3_600_000_000_000
    now = time.time_ns()
    monkeypatch.setattr("modelbuild.memo.time.time_ns", lambda: now - an_hour)
    flip_weight(built.root / "src" / "one.onnx")
    assert run(["build"]) == 0
    assert "load one" in built.ran()
    flip_weight(built.root / "src" / "one.onnx")
    assert run(["status"]) == 4


def flip_weight(source: Path) -> None:
    """Another number among the weights; the size of the file stays."""
    data = source.read_bytes()
    at = data.rindex(b"\x00\x00\x80\x3f")  # a bias of 1
    source.write_bytes(data[:at] + b"\x00\x00\x00\x40" + data[at + 4 :])


# ---- disks that refuse ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("modelbuild", "build"), marks=slow),
        ("modelbuild", "build", "-n", "2"),
        pytest.param(("doit",), marks=slow),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line_and_the_last_artifacts_stay(
    finished_site: Site, small_disk: Path, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    site = Site(small_disk / "site")
    shutil.copytree(finished_site.root, site.root, dirs_exist_ok=True)
    assert site.run(*command).returncode == 0
    add_large(site, "one", 2)
    done = site.run(*command)
    assert done.returncode == (1 if command[0] == "doit" else 2)
    said = done.stdout + done.stderr
    assert "no space left on device" in said.lower()
    assert "Traceback" not in said
    assert_as_before_or_whole(artifacts(site), undisturbed)
    assert not list((site.root / "cache" / "store" / "v1" / "drafts").glob("*/*"))
    write_model(site.root / "src" / "one.onnx", scale=1.0)
    assert site.run(*command).returncode == 0
    assert artifacts(site) == undisturbed


def test_a_disk_that_is_read_only_is_one_line(
    finished_site: Site,
    small_disk: Path,
    undisturbed: dict[str, bytes],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    site = Site(small_disk / "site")
    shutil.copytree(finished_site.root, site.root, dirs_exist_ok=True)
    write_model(site.root / "src" / "one.onnx", scale=5.0)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert run(["build", "--file", str(site.manifest)]) == 2
    said = capsys.readouterr().err
    assert "the file system is read-only: put the cache elsewhere" in said
    assert "Traceback" not in said
    assert artifacts(site) == undisturbed


@pytest.mark.parametrize("place", ["v1", "v1/blobs", "v1/records", "v1/drafts", "v1/locks"])
def test_a_store_that_refuses_writes_is_one_line(
    built: Site, undisturbed: dict[str, bytes], capsys: Capture, place: str
) -> None:
    write_model(built.root / "src" / "one.onnx", scale=5.0)
    shutil.rmtree(store(built).root / place)
    (store(built).root / place).write_text("in the way")
    assert run(["build"]) == 2
    said = capsys.readouterr().err
    assert "a file is in the way of a folder" in said
    assert "Traceback" not in said
    assert artifacts(built) == undisturbed


def assert_as_before_or_whole(now: dict[str, bytes], before: dict[str, bytes]) -> None:
    """One artifact at least is as it was; another may have been made in time, and is whole then."""
    assert now.keys() == before.keys()
    folders = {name.rpartition("/")[0] for name in now}
    kept = {folder for folder in folders if all(now[n] == before[n] for n in now if n.startswith(f"{folder}/"))}
    assert kept
    for folder in folders - kept:
        said = json.loads(now[f"{folder}/provenance.json"])["files"]
        assert {name: file["sha256"] for name, file in said.items()} == {
            name: hashlib.sha256(now[f"{folder}/{name}"]).hexdigest() for name in said
        }
