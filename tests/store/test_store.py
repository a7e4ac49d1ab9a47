"""What every store promises, and what a folder promises beyond."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelbuild import digest
from modelbuild.errors import StoreError
from modelbuild.store import Blob, LocalStore, Lost, MemoryStore, Output, Record, Store, deliver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore(tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def put(store: Store, data: bytes) -> Blob:
    with store.scratch() as folder:
        (folder / "draft").write_bytes(data)
        return store.take(folder / "draft")


def publish(store: Store, question: str = "q", **outputs: bytes) -> Record:
    made = {name: Output(put(store, data), "result") for name, data in outputs.items()}
    record = Record(digest.canonical({"stage": question}), made, (), 0.5, "2026-01-02T03:04:05Z")
    store.publish(record)
    return record


def blob_file(store: LocalStore, blob: Blob) -> Path:
    return store.root / "v1" / "blobs" / blob.sha256[:2] / blob.sha256[2:]


def record_file(store: LocalStore, record: Record) -> Path:
    return store.root / "v1" / "records" / record.key[:2] / record.key[2:]


def test_what_was_published_is_recalled(store: Store) -> None:
    record = publish(store, graph=b"graph", trace=b"")
    assert store.recall(record.key) == record
    assert store.path(record.outputs["graph"].blob).read_bytes() == b"graph"


def test_what_was_never_asked_is_a_miss(store: Store) -> None:
    assert store.recall("0" * 64) is None


def test_an_answer_with_a_blob_gone_is_known_but_not_recalled(store: Store) -> None:
    blob = Blob("0" * 64, 3, "0" * 32)
    record = Record(b"{}", {}, (blob,), 0.0, "now")
    store.publish(record)
    assert store.recall(record.key) is None
    assert store.record(record.key) == record
    assert store.missing(record) == [blob]


def test_equal_content_is_one_blob(store: Store) -> None:
    assert put(store, b"same") == put(store, b"same")


def test_keys_are_all_records(store: Store) -> None:
    made = [publish(store, question, out=b"x").key for question in "abc"]
    assert list(store.keys()) == sorted(made)


def test_a_second_worker_waits_for_the_first(store: Store) -> None:
    order: list[str] = []
    with store.lock("ab" * 32, patience=5) as mine:

        def second() -> None:
            with store.lock("ab" * 32, patience=5) as held:
                order.append(f"second {held}")

        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.05)
        order.append(f"first {mine}")
    other.join()
    assert order == ["first True", "second True"]


def test_patience_ends(store: Store) -> None:
    with store.lock("ab" * 32, patience=0), store.lock("ab" * 32, patience=0.01) as held:
        assert held is False


def test_different_keys_do_not_wait(store: Store) -> None:
    with store.lock("ab" * 32, patience=0), store.lock("ac" * 32, patience=0) as held:
        assert held is True


def test_scratch_is_gone_after_a_failure(store: Store) -> None:
    folders: list[Path] = []

    def fail() -> None:
        with store.scratch() as folder:
            folders.append(folder)
            (folder / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not folders[0].exists()


# ---- damage ----


def test_asking_leaves_no_trace(local: LocalStore) -> None:
    assert local.recall("0" * 64) is None
    assert list(local.keys()) == []
    assert not local.root.exists()


def test_a_truncated_blob_is_set_aside_and_a_miss(local: LocalStore) -> None:
    record = publish(local, out=b"weights")
    path = blob_file(local, record.outputs["out"].blob)
    path.chmod(0o644)
    path.write_bytes(b"weig")
    assert local.recall(record.key) is None
    assert not path.exists()
    assert [str(damage) for damage in local.damage] == [
        f"blob {record.outputs['out'].blob.sha256[:12]}: 4 bytes, was 7; set aside, it will be made again"
    ]
    assert [p.read_bytes() for p in (local.root / "v1" / "quarantine").iterdir()] == [b"weig"]


def test_a_flipped_bit_is_noticed_on_reading(local: LocalStore) -> None:
    record = publish(local, out=b"weights")
    blob = record.outputs["out"].blob
    path = blob_file(local, blob)
    path.chmod(0o644)
    path.write_bytes(b"weighus")
    with pytest.raises(Lost):
        local.path(blob)
    assert local.recall(record.key) is None
    assert len(local.damage) == 1


def test_a_blob_taken_again_heals_a_damaged_one(local: LocalStore) -> None:
    blob = put(local, b"weights")
    path = blob_file(local, blob)
    path.chmod(0o644)
    path.write_bytes(b"weighus")
    put(local, b"weights")
    assert local.path(blob).read_bytes() == b"weights"


@pytest.mark.parametrize("damage", [b"", b"\x00" * 300, b"{}", b"0123456789abcdef {}\n"])
def test_a_damaged_record_is_set_aside_and_a_miss(local: LocalStore, damage: bytes) -> None:
    record = publish(local, out=b"x")
    record_file(local, record).write_bytes(damage)
    assert local.recall(record.key) is None
    assert not record_file(local, record).exists()
    assert len(local.damage) == 1


def test_a_record_under_another_key_is_not_believed(local: LocalStore) -> None:
    one, other = publish(local, "one", out=b"1"), publish(local, "other", out=b"2")
    record_file(local, one).write_bytes(record_file(local, other).read_bytes())
    assert local.recall(one.key) is None
    assert "answers another key" in local.damage[0].why


def test_a_record_removed_is_a_miss(local: LocalStore) -> None:
    record = publish(local, out=b"x")
    record_file(local, record).unlink()
    assert local.recall(record.key) is None
    assert not local.damage


def test_what_is_there_is_not_written_again_but_counts_as_young(local: LocalStore) -> None:
    path = blob_file(local, local.put(b"weights"))
    os.utime(path, (0, 0))
    before = path.stat().st_ino
    assert local.put(b"weights").size == 7
    assert path.stat().st_ino == before
    assert time.time() - path.stat().st_mtime < 60


def test_damaged_content_that_is_put_again_is_whole(local: LocalStore) -> None:
    path = blob_file(local, local.put(b"weights"))
    path.chmod(0o644)
    path.write_bytes(b"weighus")
    assert local.path(local.put(b"weights")).read_bytes() == b"weights"


def test_nothing_is_left_of_a_lock(local: LocalStore) -> None:
    with local.lock("ab" * 32, patience=0):
        assert [path.name for path in (local.home / "locks").iterdir()] == ["ab" * 32]
    assert list((local.home / "locks").iterdir()) == []


def test_without_second_names_of_files_nobody_waits(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with local.lock("ab" * 32, patience=60) as mine:
        assert mine is False


def test_an_empty_folder_for_drafts_is_used_again(local: LocalStore) -> None:
    with local.scratch() as first:
        pass
    with local.scratch() as again, local.scratch() as beside:
        assert (again, list(again.iterdir())) == (first, [])
        assert beside != again


def test_blobs_are_not_writable(local: LocalStore) -> None:
    assert blob_file(local, put(local, b"x")).stat().st_mode & 0o222 == 0


def test_the_folder_is_tagged_as_a_cache(local: LocalStore) -> None:
    put(local, b"x")
    assert (local.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


# ---- other processes ----


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


HOLDER = """
import sys, time; from pathlib import Path; from modelbuild.store import LocalStore
store = LocalStore(Path(sys.argv[1]))
with store.scratch() as folder, store.lock("ab" * 32, 0) as held:
    (folder / "half").write_text("half"); print(held, folder, flush=True); time.sleep(60)
"""


@pytest.fixture
def killed(local: LocalStore) -> Path:
    """The scratch folder of a process that was killed at work."""
    process = child(HOLDER, str(local.root))
    assert process.stdout is not None
    held, folder = process.stdout.readline().split()
    assert held == "True"
    with local.lock("ab" * 32, patience=0) as mine:
        assert mine is False
    process.kill()
    process.wait()
    process.stdout.close()
    return Path(folder)


def test_the_lock_of_a_killed_process_is_free(local: LocalStore, killed: Path) -> None:
    with local.lock("ab" * 32, patience=0) as mine:
        assert mine is True


def test_the_drafts_of_a_killed_process_are_swept(local: LocalStore, killed: Path) -> None:
    assert (killed / "half").exists()
    put(LocalStore(local.root), b"x")
    assert not killed.exists()


def test_the_drafts_of_a_living_process_stay(local: LocalStore) -> None:
    process = child(HOLDER, str(local.root))
    assert process.stdout is not None
    folder = Path(process.stdout.readline().split()[1])
    put(local, b"x")
    assert (folder / "half").exists()
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_store_that_is_done_leaves_no_drafts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    put(store, b"x")
    del store
    assert list((tmp_path / "store" / "v1" / "drafts").iterdir()) == []


def test_locks_leave_no_files(local: LocalStore) -> None:
    with local.lock("ab" * 32, patience=0):
        pass
    assert list((local.root / "v1" / "locks").iterdir()) == []


def test_many_processes_publish_the_same_and_none_breaks(local: LocalStore) -> None:
    code = """
import sys; from pathlib import Path; from modelbuild.store import *
store = LocalStore(Path(sys.argv[1]))
for n in range(40):
    with store.scratch() as folder:
        (folder / "d").write_bytes(b"%d" % n * 1000)
        blob = store.take(folder / "d")
    record = Record(b"%d" % n, {"out": Output(blob, "result")}, (), 0.0, "now")
    store.publish(record)
    assert store.path(store.recall(record.key).outputs["out"].blob).read_bytes() == b"%d" % n * 1000
"""
    writers = [child(code, str(local.root)) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    assert len(list(filter(local.recall, local.keys()))) == 40
    assert not local.damage


# ---- a disk that refuses ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, stderr=-3)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("put_there", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_one_is_set_aside(local: LocalStore, put_there: Callable[[Path], None]) -> None:
    made = publish(local, out=b"content")
    record_file(local, made).unlink()
    put_there(record_file(local, made))
    assert local.recall(made.key) is None
    assert [damage.what for damage in local.damage] == [f"record {made.key[:12]}"]
    local.publish(made)
    assert local.recall(made.key) == made


def test_a_store_that_is_taken_away_while_it_is_written_to_is_told(local: LocalStore) -> None:
    def write() -> None:
        with local.scratch() as folder:
            shutil.rmtree(local.root)
            (folder / "model.xml").write_text("<net/>")

    with pytest.raises(StoreError, match="taken away meanwhile: try again"):
        write()


def test_a_full_disk_is_one_line_and_nothing_is_half_written(small_disk: Path) -> None:
    store = LocalStore(small_disk / "store")
    good = publish(store, "good", out=b"good")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    with pytest.raises(StoreError, match=r"no space left on device: free some space") as caught:
        publish(store, "big", out=b"y" * 4096)
    assert "\n" not in str(caught.value)
    assert list(store.keys()) == [good.key]
    filler.unlink()
    assert store.recall(good.key) == good
    assert not list((small_disk / "store" / "v1" / "drafts").rglob("work-*"))


def test_a_full_disk_below_a_delivery_is_told_as_that(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    made = publish(store, "big", out=bytes(2 << 20))
    with pytest.raises(StoreError, match=r"/build.*: no space left on device: .*put what is delivered on another disk"):
        deliver(store, {"m.bin": made.outputs["out"].blob}, small_disk / "build" / "m")
    assert not (small_disk / "build" / "m").exists()


def test_a_read_only_store_still_answers(small_disk: Path) -> None:
    good = publish(LocalStore(small_disk / "store"), "good", out=b"good")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    reader = LocalStore(small_disk / "store")
    assert reader.recall(good.key) == good
    assert reader.path(good.outputs["out"].blob).read_bytes() == b"good"
    with pytest.raises(StoreError, match="read-only"):
        publish(reader, "more", out=b"more")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match=r"store.*a file is in the way"):
        put(LocalStore(tmp_path / "store"), b"x")
