"""Making room, pins, verifying and repairing, carrying answers from store to store."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelbuild import digest
from modelbuild.errors import SourceError, StoreError, UsageError
from modelbuild.store import Blob, LocalStore, Output, Record
from modelbuild.store.audit import audit, repair
from modelbuild.store.carry import bring_in, export
from modelbuild.store.layout import blob_files
from modelbuild.store.sweep import Swept, closure, sweep

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, data: bytes) -> Blob:
    with store.scratch() as folder:
        (folder / "draft").write_bytes(data)
        return store.take(folder / "draft")


def answer(store: LocalStore, name: str, size: int = 10_000, *, of: Record | None = None, days: float = 0.0) -> Record:
    """An answer of ``size`` bytes, made ``days`` ago from the answer ``of``."""
    blob = put(store, name.encode().ljust(size, b"."))
    made = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * DAY))
    inputs: dict[str, digest.Plain] = {"graph": dict(of.results)} if of is not None else {}
    question = digest.canonical({"stage": name, "inputs": inputs})
    record = Record(question, {"out": Output(blob, "result")}, (), 0.5, made)
    store.publish(record)
    return record


def swept(
    store: LocalStore, *needed: Record, size: int | None = None, age: float | None = None, dry: bool = False
) -> Swept:
    return sweep(store, size=size, age=age, needed={record.key for record in needed}, dry=dry)


def here(store: LocalStore, *records: Record) -> list[bool]:
    return [store.recall(record.key) is not None for record in records]


def taken(store: LocalStore, *records: Record) -> int:
    """Bytes of the files of ``records``."""
    blobs = {blob.sha256 for record in records for blob in record.blobs}
    paths = [store.place("records", record.key) for record in records] + [store.place("blobs", blob) for blob in blobs]
    return sum(path.stat().st_size for path in paths)


# ---- making room ----


def test_what_was_of_no_use_for_longest_goes_first(store: LocalStore) -> None:
    old, older = answer(store, "old", days=2), answer(store, "older", days=3)
    new = answer(store, "new")
    assert swept(store, size=25_000).records == 1
    assert here(store, old, older, new) == [True, False, True]


def test_a_use_counts_as_new(store: LocalStore) -> None:
    first, second = answer(store, "first", days=3), answer(store, "second", days=2)
    store.used(first.key)
    swept(LocalStore(store.root), size=15_000)
    assert here(store, first, second) == [True, False]


def test_what_a_used_answer_was_made_of_was_used_too(store: LocalStore) -> None:
    graph = answer(store, "graph", days=9)
    made = answer(store, "made", of=graph, days=5)
    other = answer(store, "other", days=2)
    store.used(made.key)
    swept(store, size=25_000)
    assert here(store, graph, made, other) == [True, True, False]


def test_the_time_stamps_of_files_do_not_count(store: LocalStore) -> None:
    first, second = answer(store, "first", days=3), answer(store, "second", days=2)
    os.utime(store.place("blobs", first.blobs[0].sha256))
    swept(store, size=15_000)
    assert here(store, first, second) == [False, True]


def test_an_age_takes_what_is_older(store: LocalStore) -> None:
    old, new = answer(store, "old", days=31), answer(store, "new", days=29)
    swept(store, age=30 * DAY)
    assert here(store, old, new) == [False, True]
    assert not store.place("blobs", old.blobs[0].sha256).exists()


def test_what_is_needed_stays_with_all_that_it_was_made_of(store: LocalStore) -> None:
    graph = answer(store, "graph", days=50)
    made = answer(store, "made", of=graph, days=40)
    done = swept(store, made, size=0, age=DAY)
    assert here(store, graph, made) == [True, True]
    assert done.kept == done.needed == taken(store, graph, made)


def test_records_take_room_too(store: LocalStore) -> None:
    made = [answer(store, f"made {n}", size=1, days=n) for n in range(1, 9)]
    kept = taken(store, *made[:4])
    done = swept(store, size=kept)
    assert here(store, *made) == [True] * 4 + [False] * 4
    assert (done.octets, done.kept) == (kept, kept)


def test_what_is_pinned_stays_until_it_is_not(store: LocalStore) -> None:
    made = answer(store, "made", of=answer(store, "graph", days=50), days=40)
    store.pins.pin("release-1.0", [made.key])
    assert swept(store, size=0).records == 0
    store.pins.unpin("release-1.0")
    assert swept(store, size=0).records == 2


def test_a_damaged_pin_stops_the_sweep(store: LocalStore) -> None:
    made = answer(store, "made", days=40)
    store.pins.pin("release", [made.key])
    path = store.home / "pins" / "release"
    path.write_bytes(path.read_bytes().replace(b'"', b"'"))
    with pytest.raises(StoreError, match="damaged"):
        swept(store, size=0)
    assert here(store, made) == [True]


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a" * 65])
def test_the_name_of_a_pin_is_no_path(store: LocalStore, name: str) -> None:
    with pytest.raises(UsageError, match="name of a pin"):
        store.pins.pin(name, [])


def test_an_unknown_pin_is_told(store: LocalStore) -> None:
    with pytest.raises(UsageError, match="no pin at all"):
        store.pins.unpin("release")


def test_a_blob_that_others_name_stays(store: LocalStore) -> None:
    old, new = answer(store, "same", days=9), answer(store, "other")
    shared = Record(digest.canonical({"stage": "shares"}), old.outputs, (), 0.5, new.made)
    store.publish(shared)
    swept(store, age=DAY)
    assert here(store, old, shared) == [False, True]


def test_a_blob_that_nobody_names_goes_when_it_is_old(store: LocalStore) -> None:
    young, old = put(store, b"young"), put(store, b"old")
    os.utime(store.place("blobs", old.sha256), (time.time() - DAY,) * 2)
    assert swept(store).blobs == 1
    assert store.place("blobs", young.sha256).exists()
    assert not store.place("blobs", old.sha256).exists()


def test_a_dry_sweep_says_the_same_and_removes_nothing(store: LocalStore) -> None:
    made = answer(store, "made", days=40)
    would = swept(store, size=0, dry=True)
    assert here(store, made) == [True]
    assert swept(store, size=0) == would
    assert here(store, made) == [False]


def test_a_clock_that_was_set_back_makes_nothing_old(store: LocalStore) -> None:
    future = answer(store, "future", days=-400)
    swept(store, age=DAY)
    assert here(store, future) == [True]


def test_uses_of_what_is_gone_are_forgotten(store: LocalStore) -> None:
    made = answer(store, "made", days=9)
    store.used(made.key)
    store.used("0" * 64)
    swept(store, age=30 * DAY)
    assert set(LocalStore(store.root).uses.last()) == {made.key}


def test_a_use_is_written_once_a_day(store: LocalStore) -> None:
    for _ in range(3):
        store.used("0" * 64)
        LocalStore(store.root).used("0" * 64)
    assert len((store.home / "uses").read_bytes().splitlines()) == 1


# ---- verifying and repairing ----


def test_a_whole_store_has_no_findings(store: LocalStore) -> None:
    answer(store, "made", of=answer(store, "graph"))
    assert list(audit(store)) == []


def test_an_empty_store_has_no_findings(store: LocalStore) -> None:
    assert list(audit(store)) == []


def test_what_is_published_meanwhile_is_no_finding(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer(store, "first")

    def read_late(home: Path) -> Iterator[tuple[str, Path]]:
        yield from [*blob_files(home)]
        answer(store, "second")
        store.place("records", first.key).unlink()
        store.place("blobs", first.blobs[0].sha256).unlink()

    monkeypatch.setattr("modelbuild.store.audit.blob_files", read_late)
    assert [*audit(store)] == []


def test_every_kind_of_damage_is_found_and_changes_nothing(store: LocalStore) -> None:
    records = [answer(store, name) for name in ("flipped", "short", "gone", "torn", "swapped", "fine")]
    places = {r.fields["stage"]: store.place("blobs", r.blobs[0].sha256) for r in records}
    by_name = {r.fields["stage"]: store.place("records", r.key) for r in records}
    for path in [*places.values(), *by_name.values()]:
        path.chmod(0o644)
    places["flipped"].write_bytes(b"F" + places["flipped"].read_bytes()[1:])
    places["short"].write_bytes(places["short"].read_bytes()[:-1])
    places["gone"].unlink()
    by_name["torn"].write_bytes(by_name["torn"].read_bytes()[:-5])
    by_name["swapped"].write_bytes(by_name["fine"].read_bytes())
    (store.home / "blobs" / "notes.txt").write_text("mine")
    (store.home / "backup.tar").write_text("mine too")
    (store.home / ".draft-1").write_text("uses, halfway")
    (store.home / "records" / "ab").mkdir(exist_ok=True)
    (store.home / "records" / "ab" / ".DS_Store").write_text("theirs")
    before = sorted(store.home.rglob("*"))
    found = list(audit(store))
    assert sorted(store.home.rglob("*")) == before
    whys = sorted(finding.why.split(",")[0].split(" blob ")[0] for finding in found)
    assert whys.count("is none of ours") == 3
    assert whys.count("holds other bytes") == 2
    assert whys.count("the check sum does not fit") == 1
    assert whys.count("answers another key") == 1
    assert whys.count("its") == 3
    assert all(finding.path is not None for finding in found)


def test_repair_sets_aside_and_leaves_what_is_whole(store: LocalStore) -> None:
    bad, fine = answer(store, "bad"), answer(store, "fine")
    path = store.place("blobs", bad.blobs[0].sha256)
    path.chmod(0o644)
    path.write_bytes(b"x" * bad.blobs[0].size)
    (store.home / "blobs" / "foreign").mkdir()
    assert len(repair(store)) == 3
    assert here(store, bad, fine) == [False, True]
    assert len(list((store.home / "quarantine").iterdir())) == 3
    assert list(audit(store)) == []


def test_a_damaged_pin_is_found_and_left(store: LocalStore) -> None:
    store.pins.pin("release", [answer(store, "made").key])
    place = store.home / "pins" / "release"
    place.write_bytes(b"x" + place.read_bytes()[1:])
    for _ in range(2):
        assert [(found.what, found.path) for found in repair(store)] == [("pin release", None)]


def test_a_link_in_the_store_is_foreign(store: LocalStore, tmp_path: Path) -> None:
    made = answer(store, "made")
    path = store.place("blobs", made.blobs[0].sha256)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "is none of ours" in [finding.why for finding in audit(store)]


# ---- carrying ----


@pytest.fixture
def carried(store: LocalStore, tmp_path: Path) -> Path:
    """A file with two answers, one made of the other."""
    made = answer(store, "made", of=answer(store, "graph"))
    export(store, closure(store, [made.key]), tmp_path / "answers.tar")
    return tmp_path / "answers.tar"


@pytest.fixture
def other(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "other")


def test_what_is_exported_can_be_imported(store: LocalStore, carried: Path, other: LocalStore) -> None:
    assert bring_in(other, carried).records == 2
    assert sorted(other.keys()) == sorted(store.keys())
    assert list(audit(other)) == []
    for key in store.keys():  # noqa: SIM118 - no dictionary
        assert other.recall(key) == store.recall(key)


def test_equal_answers_make_equal_bytes(store: LocalStore, carried: Path, other: LocalStore, tmp_path: Path) -> None:
    bring_in(other, carried)
    export(other, reversed(list(other.keys())), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == carried.read_bytes()


def test_a_second_import_takes_nothing(carried: Path, other: LocalStore) -> None:
    bring_in(other, carried)
    assert bring_in(other, carried) == (0, 0, 0)


def test_an_import_mends_what_lost_a_blob(carried: Path, store: LocalStore) -> None:
    record = store.recall(next(iter(store.keys())))
    assert record is not None
    store.place("blobs", record.blobs[0].sha256).unlink()
    bring_in(store, carried)
    assert store.recall(record.key) == record


def test_any_tar_program_can_read_an_export(carried: Path) -> None:
    with tarfile.open(carried) as tar:
        members = tar.getmembers()
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    assert [member.name for member in members] == sorted(member.name for member in members)


def test_an_export_of_what_is_damaged_is_refused_and_leaves_the_last_one(store: LocalStore, carried: Path) -> None:
    before = carried.read_bytes()
    record = store.recall(next(iter(store.keys())))
    assert record is not None
    path = store.place("blobs", record.blobs[0].sha256)
    path.chmod(0o644)
    path.write_bytes(b"x" * record.blobs[0].size)
    with pytest.raises(StoreError, match="damaged"):
        export(store, store.keys(), carried)
    assert carried.read_bytes() == before
    assert [path.name for path in carried.parent.iterdir() if path.name.startswith(".")] == []


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(carried: Path, tmp_path: Path) -> None:
    whole = carried.read_bytes()
    used = len(whole.rstrip(b"\0"))
    reference = LocalStore(tmp_path / "reference")
    bring_in(reference, carried)
    for number, at in enumerate(range(0, used, 61)):
        carried.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        target = LocalStore(tmp_path / f"target{number}")
        try:
            bring_in(target, carried)
        except SourceError:
            assert list(target.keys()) == []
        else:
            assert [target.recall(key) for key in target.keys()] == [  # noqa: SIM118 - no dictionary
                reference.recall(key)
                for key in reference.keys()  # noqa: SIM118
            ]


def test_a_file_cut_short_anywhere_is_refused(carried: Path, other: LocalStore) -> None:
    whole = carried.read_bytes()
    used = len(whole.rstrip(b"\0"))
    for length in range(0, used, 97):
        carried.write_bytes(whole[:length])
        with pytest.raises(SourceError):
            bring_in(other, carried)
    assert list(other.keys()) == []


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def blob_name(data: bytes) -> str:
    name = digest.of_bytes(data)
    return f"v1/blobs/{name[:2]}/{name[2:]}"


GOOD = blob_name(b"data")


def _hostile() -> Iterator[tuple[str, tuple[tarfile.TarInfo, bytes]]]:
    yield "a path out of the store", (member("v1/blobs/../../evil"), b"data")
    yield "an absolute path", (member("/etc/passwd"), b"data")
    yield "a link", (member(GOOD, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")
    yield "a hard link", (member(GOOD, type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")
    yield "a device", (member(GOOD, type=tarfile.CHRTYPE), b"")
    yield "a folder", (member(GOOD, type=tarfile.DIRTYPE), b"")
    yield "a sparse file", (member(GOOD, type=tarfile.GNUTYPE_SPARSE), b"")
    yield "a long name", (member("v1/blobs/" + "a" * 200), b"data")
    yield "another name", (member(blob_name(b"other")), b"data")
    yield "a lone blob", (member(GOOD), b"data")
    yield "a record that is none", (member("v1/records/" + "ab/" + "c" * 62), b"[" * 100_000)


@pytest.mark.parametrize("made", [pytest.param(made, id=name) for name, made in _hostile()])
def test_what_an_export_does_not_write_is_refused(
    made: tuple[tarfile.TarInfo, bytes], other: LocalStore, tmp_path: Path
) -> None:
    with pytest.raises(SourceError) as raised:
        bring_in(other, tar_of(tmp_path / "hostile.tar", made))
    assert "\n" not in str(raised.value)
    assert list(other.keys()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar", "other"]


def test_a_size_that_the_file_does_not_back_is_refused(other: LocalStore, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "huge.tar", (member(GOOD), b"data"))
    block = bytearray(path.read_bytes())
    block[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    path.write_bytes(block)
    with pytest.raises(SourceError, match="claims 1152921504606846976 bytes"):
        bring_in(other, path)


def test_a_blob_that_is_there_twice_is_refused(other: LocalStore, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "twice.tar", (member(GOOD), b"data"), (member(GOOD), b"data"))
    with pytest.raises(SourceError, match="twice"):
        bring_in(other, path)


def test_a_record_that_lies_about_a_blob_is_refused(other: LocalStore, tmp_path: Path) -> None:
    """Its check sum would have the good blob set aside for ever."""
    blob = Blob(digest.of_bytes(b"data"), 4, "0" * 32)
    record = Record(b"{}", {"out": Output(blob, "result")}, (), 0.5, "2026-01-02T03:04:05+00:00")
    name = f"v1/records/{record.key[:2]}/{record.key[2:]}"
    path = tar_of(tmp_path / "liar.tar", (member(GOOD), b"data"), (member(name), record.encode()))
    with pytest.raises(SourceError, match="not in it as such"):
        bring_in(other, path)
    assert list(other.keys()) == []


def test_a_compressed_file_is_no_export(carried: Path, other: LocalStore) -> None:
    import gzip

    carried.write_bytes(gzip.compress(carried.read_bytes()))
    with pytest.raises(SourceError, match="modelbuild cache export"):
        bring_in(other, carried)


def test_a_file_that_is_not_there_is_one_line(other: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        bring_in(other, tmp_path / "nothing.tar")
