from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelbuild.errors import StoreError
from modelbuild.store import Blob, LocalStore, Lost, deliver

if TYPE_CHECKING:
    from collections.abc import Mapping

in_place = importlib.import_module("modelbuild.store.deliver")  # the package has a function of that name


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache" / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "build" / "m" / "cpu" / "FP16"


def blobs(store: LocalStore, **contents: str) -> Mapping[str, Blob]:
    with store.scratch() as scratch:
        made = {}
        for name, text in contents.items():
            (scratch / name).write_text(text)
            made[f"m.{name}"] = store.take(scratch / name)
        return made


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_files_appear(store: LocalStore, folder: Path) -> None:
    assert deliver(store, blobs(store, xml="<net/>", bin="123"), folder) == ("m.bin", "m.xml")
    assert read(folder) == {"m.xml": "<net/>", "m.bin": "123"}
    assert [path.name for path in folder.parent.iterdir()] == ["FP16"]


def test_delivered_again_nothing_is_touched(store: LocalStore, folder: Path) -> None:
    files = blobs(store, xml="<net/>", bin="123")
    deliver(store, files, folder)
    before = [(p.stat().st_ino, p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in sorted(folder.iterdir())]
    assert deliver(store, files, folder) == ()
    assert [(p.stat().st_ino, p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in sorted(folder.iterdir())] == before


def test_only_the_changed_file_is_written(store: LocalStore, folder: Path) -> None:
    deliver(store, blobs(store, xml="<net/>", bin="123"), folder)
    before = (folder / "m.bin").stat()
    assert deliver(store, blobs(store, xml="<new/>", bin="123"), folder) == ("m.xml",)
    assert read(folder) == {"m.xml": "<new/>", "m.bin": "123"}
    after = (folder / "m.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_edit_under_the_old_size_is_noticed_and_mended(store: LocalStore, folder: Path) -> None:
    files = blobs(store, xml="<net/>", bin="123")
    deliver(store, files, folder)
    (folder / "m.bin").write_text("124")
    assert deliver(store, files, folder) == ("m.bin",)
    assert read(folder) == {"m.xml": "<net/>", "m.bin": "123"}


def test_an_edit_of_a_delivered_file_does_not_reach_the_store(store: LocalStore, folder: Path) -> None:
    files = blobs(store, xml="<net/>")
    deliver(store, files, folder)
    with (folder / "m.xml").open("r+") as file:
        file.write("EDIT")
    assert store.path(files["m.xml"]).read_text() == "<net/>"


def test_other_peoples_files_stay(store: LocalStore, folder: Path) -> None:
    deliver(store, blobs(store, xml="<net/>"), folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("mine")
    (folder / "link").symlink_to("nowhere")
    deliver(store, blobs(store, xml="<new/>"), folder)
    assert (folder / "notes" / "a.txt").read_text() == "mine"
    assert (folder / "link").readlink() == Path("nowhere")


def test_what_others_put_there_meanwhile_stays(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(store, blobs(store, xml="<net/>"), folder)
    (folder / "notes").mkdir()

    def put_first(one: Path, other: Path) -> None:
        (folder / "mine.txt").write_text("mine")
        (folder / "notes" / "mine.txt").write_text("mine")
        exchange(one, other)

    exchange = in_place._exchange
    monkeypatch.setattr(in_place, "_exchange", put_first)
    deliver(store, blobs(store, xml="<new/>"), folder)
    assert read(folder) == {"m.xml": "<new/>", "mine.txt": "mine"}
    assert read(folder / "notes") == {"mine.txt": "mine"}


def test_what_a_sweep_takes_at_this_very_moment_is_lost(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = blobs(store, xml="<net/>")

    def take_away(blob: Blob) -> int:
        store.place("blobs", blob.sha256).unlink(missing_ok=True)
        return blob.size

    with monkeypatch.context() as patched:
        patched.setattr(store, "_size", take_away)
        with pytest.raises(Lost):
            store.path(made["m.xml"])
    size, asked = store._size, list[Blob]()

    def take_away_once(blob: Blob) -> int | None:
        asked.append(blob)
        return blob.size if len(asked) == 1 else size(blob)

    monkeypatch.setattr(store, "_size", take_away_once)
    with pytest.raises(Lost):
        deliver(store, made, folder)
    assert not folder.exists()


def test_a_lost_blob_leaves_the_previous_files(store: LocalStore, folder: Path) -> None:
    deliver(store, blobs(store, xml="<old/>", bin="old"), folder)
    files = blobs(store, xml="<new/>", bin="new")
    store.path(files["m.bin"]).unlink()
    with pytest.raises(Lost):
        deliver(store, files, folder)
    assert read(folder) == {"m.xml": "<old/>", "m.bin": "old"}
    assert [path.name for path in folder.parent.iterdir()] == ["FP16"]


def test_a_link_in_place_of_a_delivered_file_is_replaced(store: LocalStore, folder: Path, tmp_path: Path) -> None:
    files = blobs(store, xml="<net/>")
    (tmp_path / "elsewhere").write_text("<net/>")
    folder.mkdir(parents=True)
    (folder / "m.xml").symlink_to(tmp_path / "elsewhere")
    assert deliver(store, files, folder) == ("m.xml",)
    assert not (folder / "m.xml").is_symlink()


def test_a_folder_that_is_a_link_stays_one(store: LocalStore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bigdisk" / "FP16").mkdir(parents=True)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path / "bigdisk" / "FP16")
    deliver(store, blobs(store, xml="<net/>"), folder)
    assert folder.is_symlink()
    assert read(folder) == {"m.xml": "<net/>"}


def test_a_file_in_the_way_is_named(store: LocalStore, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    with pytest.raises(StoreError, match="FP16"):
        deliver(store, blobs(store, xml="<net/>"), folder)
    assert folder.read_text() == "a file"


def test_a_reader_never_sees_a_mixture(store: LocalStore, folder: Path) -> None:
    versions = [blobs(store, xml=str(n), bin=str(n)) for n in range(2)]
    deliver(store, versions[0], folder)
    seen: set[tuple[str, str]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            with ExitStack() as opened, suppress(FileNotFoundError):  # the folder goes as a whole, after the exchange
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # what a loader that opens both files sees
                opened.callback(os.close, handle)
                pair = []
                for name in ("m.xml", "m.bin"):
                    pair.append(os.open(name, os.O_RDONLY, dir_fd=handle))
                    opened.callback(os.close, pair[-1])
                seen.add((os.read(pair[0], 9).decode(), os.read(pair[1], 9).decode()))

    reader = threading.Thread(target=watch)
    reader.start()
    for n in range(100):
        deliver(store, versions[n % 2], folder)
    done.set()
    reader.join()
    assert seen <= {("0", "0"), ("1", "1")}


def test_killed_at_any_moment_the_files_belong_together(store: LocalStore, folder: Path) -> None:
    code = """
import sys; from pathlib import Path; from modelbuild.store import *
store, folder = LocalStore(Path(sys.argv[1])), Path(sys.argv[2])
versions = []
for n in range(2):
    with store.scratch() as scratch:
        files = {}
        for name in ("m.xml", "m.bin"):
            (scratch / name).write_text(str(n) * 100_000)
            files[name] = store.take(scratch / name)
        versions.append(files)
deliver(store, versions[0], folder)
print(flush=True)
while True:
    for files in versions: deliver(store, files, folder)
"""
    for moment in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(store.root), str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * moment)
        process.kill()
        process.wait()
        process.stdout.close()
        found = read(folder)
        assert found["m.xml"] == found["m.bin"]
    deliver(store, blobs(store, xml="<last/>"), folder)
    assert [path.name for path in folder.parent.iterdir()] == ["FP16"]
