from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from modelbuild import digest, memo
from modelbuild.errors import SourceError, StoreError
from modelbuild.journal import Journal
from modelbuild.memo import Memo

if TYPE_CHECKING:
    from pathlib import Path


class Counting:
    """of_file that counts."""

    __name__ = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> str:
        self.calls += 1
        return digest.of_file(path)


@pytest.fixture
def how() -> Counting:
    return Counting()


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has not been touched for a while."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    later = time.time_ns() + 3_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: later)
    return path


def test_an_untouched_file_is_read_once(old: Path, how: Counting, tmp_path: Path) -> None:
    for _ in range(2):
        remembered = Memo(tmp_path / "memo")
        assert [remembered.of(old, how) for _ in range(2)] == [digest.of_bytes(b"weights")] * 2
    assert how.calls == 1


def test_a_young_file_is_read_every_time(tmp_path: Path, how: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    soon = path.stat().st_ctime_ns + 1_000_000_000  # however long the machine takes
    monkeypatch.setattr("time.time_ns", lambda: soon)
    remembered = Memo(None)
    assert remembered.of(path, how) == remembered.of(path, how)
    assert how.calls == 2


def test_content_changed_under_the_old_mtime_is_noticed(old: Path) -> None:
    remembered = Memo(None)
    remembered.of(old)
    before = old.stat()
    while old.stat().st_ctime_ns == before.st_ctime_ns:  # a clock may tick once in 10 ms, and the file is not old
        old.write_bytes(b"WEIGHTS")
        os.utime(old, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert remembered.of(old) == digest.of_bytes(b"WEIGHTS")


def test_a_clock_set_back_is_not_trusted(old: Path, how: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 0)
    remembered = Memo(None)
    remembered.of(old, how)
    remembered.of(old, how)
    assert how.calls == 2


def test_ways_to_digest_are_told_apart(old: Path) -> None:
    remembered = Memo(None)
    assert remembered.of(old) != remembered.of(old, digest.fast_of_file)


def test_what_another_process_learns_is_known_here(old: Path, how: Counting, tmp_path: Path) -> None:
    here, there = Memo(tmp_path / "memo"), Memo(tmp_path / "memo")
    there.of(old, how)
    here.of(old, how)
    assert how.calls == 1


def test_a_damaged_memo_is_an_empty_one(old: Path, how: Counting, tmp_path: Path) -> None:
    Memo(tmp_path / "memo").of(old, how)
    text = (tmp_path / "memo").read_bytes()
    right = digest.of_bytes(b"weights").encode()
    assert right in text
    (tmp_path / "memo").write_bytes(b"\x00\xff\n" + text.replace(right, b"0" * 64) + text[: len(text) // 2])
    assert Memo(tmp_path / "memo").of(old, how) == right.decode()
    assert how.calls == 2


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.onnx: no such file or directory"):
        Memo(None).of(tmp_path / "gone.onnx")


def test_a_file_that_grows_while_it_is_read_is_refused(old: Path) -> None:
    def and_grow(path: Path) -> str:
        path.write_bytes(path.read_bytes() + b"more")
        return "a digest"

    with pytest.raises(SourceError, match="changed while it was read"):
        Memo(None).of(old, and_grow)


def test_a_memo_of_many_stale_lines_is_rewritten(tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_STALE_LINES", 10)
    for n in range(20):
        old.write_bytes(b"x" * n)
        Memo(tmp_path / "memo").of(old)
    assert len((tmp_path / "memo").read_bytes().splitlines()) < 15
    assert Memo(tmp_path / "memo").of(old) == digest.of_bytes(b"x" * 19)


def test_a_memo_that_cannot_be_written_says_where(old: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(StoreError, match="folder"):
        Memo(tmp_path / "folder" / "memo").of(old)


def test_lines_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write = (
        "import sys; from pathlib import Path; from modelbuild.journal import Journal\n"
        "for n in range(200): Journal(Path(sys.argv[1])).append([(sys.argv[2] * n).encode()])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [subprocess.Popen([sys.executable, "-c", write, str(path), name], env=env) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert sorted(Journal(path).news()) == sorted((name * n).encode() for name in "abc" for n in range(200))


def test_a_half_written_line_is_news_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    line = digest.seal(b"all of it")
    path.write_bytes(line[:10])
    journal = Journal(path)
    assert journal.news() == []
    path.write_bytes(line)
    assert journal.news() == [b"all of it"]
    assert journal.news() == []


def test_a_deferred_memo_writes_nothing_before_it_is_told(old: Path, how: Counting, tmp_path: Path) -> None:
    path = tmp_path / "memo"
    deferred = Memo(path, deferred=True)
    deferred.of(old, how)
    assert not path.exists()
    deferred.keep()
    Memo(path).of(old, how)
    assert how.calls == 1


def test_what_was_deferred_can_be_kept_at_exit(old: Path, tmp_path: Path) -> None:
    """By then an interpreter has begun to take things apart."""
    program = f"""
import atexit
from pathlib import Path
from modelbuild.memo import Memo
remembered = Memo(Path({str(tmp_path / "memo")!r}), deferred=True)
atexit.register(remembered.keep)
import modelbuild.memo as module
module.SETTLING = -1e9
remembered.of(Path({str(old)!r}))
remembered.keep()
(Path({str(old)!r})).write_bytes(b"other")
remembered.of(Path({str(old)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "memo").read_bytes().splitlines()) == 2
