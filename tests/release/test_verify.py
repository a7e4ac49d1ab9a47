from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sites import Site

from modelbuild.cli import run
from modelbuild.release import verify as alone
from modelbuild.release.verify import Refused, verify

Files = dict[str, bytes]
FORMS = ("tar", "zip", "folder")
PAIR = {"models/m/cpu/FP32/m.xml": b"<net/>", "models/m/cpu/FP32/m.bin": b"1234" * 200}


def described(files: Files) -> dict[str, Any]:
    return {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}


def whole(**changes: Any) -> Files:
    """A bundle of one artifact; ``changes`` are fields of its index."""
    provenance = {
        "model": "m",
        "target": "cpu",
        "device": "CPU",
        "precision": "FP32",
        "files": {name.rpartition("/")[2]: said for name, said in described(PAIR).items()},
    }
    files = {**PAIR, "models/m/cpu/FP32/provenance.json": json.dumps(provenance).encode()}
    artifact = {"model": "m", "target": "cpu", "device": "CPU", "precision": "FP32", "folder": "models/m/cpu/FP32"}
    index = {"format": 1, "files": described(files), "models": {"m": {}}, "artifacts": [artifact], "tools": {}}
    return {"index.json": json.dumps({**index, **changes}).encode(), **files}


def write(path: Path, files: Files, form: str) -> Path:
    if form == "tar":
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            for name, data in files.items():
                add(archive, name, data)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as other:
            for name, data in files.items():
                add_zip(other, name, data)
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    archive.addfile(entry, io.BytesIO(data))


def add_zip(archive: zipfile.ZipFile, name: str, data: bytes = b"", mode: int = 0o100644, **fields: Any) -> None:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    for field, value in fields.items():
        setattr(entry, field, value)
    archive.writestr(entry, data)


def refused(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        verify(path)
    return str(caught.value)


# ---- what is whole ----


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_bundle_is_verified(tmp_path: Path, form: str) -> None:
    files = whole()
    found = verify(write(tmp_path / "b", files, form))
    assert (found.files, found.size) == (3, sum(map(len, files.values())) - len(files["index.json"]))
    assert found.index_sha256 == sha256(files["index.json"]).hexdigest()


@pytest.mark.parametrize("form", ["b.tar", "b.zip", "b"])
def test_what_is_packed_is_verified(built_site: Site, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert run(["pack", "-o", form]) == 0
    assert run(["verify", form]) == 0
    assert "12 files" in capsys.readouterr().out


def test_the_file_alone_verifies_where_nothing_is_installed(tmp_path: Path) -> None:
    shutil.copy(alone.__file__, tmp_path / "check.py")
    write(tmp_path / "b.tar", whole(), "tar")
    bare = [sys.executable, "-I", "-S", "check.py"]
    good = subprocess.run([*bare, "b.tar"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert "m@cpu:FP32" in good.stdout
    (tmp_path / "b.tar").write_bytes(b"no")
    bad = subprocess.run([*bare, "b.tar"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert bad.returncode == 5
    assert bad.stderr.startswith("b.tar: ")


def test_signatures_are_told_as_not_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "b", {**whole(), "signatures/index.sig": b"x"}, "zip")
    assert "signatures/index.sig: a signature, which was not checked" in alone.summary(verify(path))


def test_a_bill_of_materials_has_its_place(tmp_path: Path) -> None:
    files = json.loads(whole()["index.json"])["files"] | described({"bom.json": b"{}"})
    bundle = {**whole(files=files, bill_of_materials="bom.json"), "bom.json": b"{}"}
    assert verify(write(tmp_path / "b", bundle, "tar")).files == 4


# ---- what is not ----


def _flip(files: Files) -> Files:
    name = "models/m/cpu/FP32/m.bin"
    return {**files, name: b"\x00" + files[name][1:]}


def instead(**changes: Any) -> Callable[[Files], Files]:
    return lambda _: whole(**changes)


DAMAGE: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a byte is another": (_flip, "another content"),
    "a file is shorter": (lambda f: {**f, "models/m/cpu/FP32/m.bin": b"1"}, "has 1 bytes, the index says 800"),
    "a file is missing": (lambda f: {n: d for n, d in f.items() if not n.endswith(".bin")}, "is not there"),
    "a file is too many": (lambda f: {**f, "models/m/cpu/FP32/z": b""}, "which the index does not list"),
    "no index": (lambda f: {n: d for n, d in f.items() if n != "index.json"}, "holds no index.json"),
    "the index is no JSON": (lambda f: {**f, "index.json": b"{"}, "is no JSON"),
    "the index is no object": (lambda f: {**f, "index.json": b"[]"}, "is no JSON object"),
    "the index is deep": (lambda f: {**f, "index.json": b'{"a":' * 100_000}, "is no JSON"),
    "the index has a long number": (lambda f: {**f, "index.json": b'{"a":%s}' % (b"9" * 9999)}, "is no JSON"),
    "the index says something twice": (
        lambda f: {**f, "index.json": f["index.json"][:-1] + b', "format": 1}'},
        "stands twice",
    ),
    "another format": (instead(format=2), "is of format 2"),
    "the index has no files": (instead(files=None), "no 'files'"),
    "files are no objects": (instead(files={"a": 1}), "no 'bytes'"),
    "a size is no number": (instead(files={"a": {"bytes": True, "sha256": ""}}), "no 'bytes'"),
    "the artifacts are no list": (instead(artifacts={}), "no 'artifacts'"),
    "an artifact is nothing": (instead(artifacts=[None]), "no 'model'"),
    "no artifact owns the files": (instead(artifacts=[]), "belongs to no artifact"),
    "a model without source": (instead(models={}), "where 'm' comes from"),
    "the bill is a list": (instead(bill_of_materials=[]), "no 'bill_of_materials'"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(tmp_path: Path, form: str, name: str) -> None:
    damage, said = DAMAGE[name]
    assert said in refused(write(tmp_path / "b", damage(whole()), form))


@pytest.mark.parametrize("field", ["model", "target", "device", "precision"])
def test_an_artifact_that_its_provenance_denies_is_refused(tmp_path: Path, field: str) -> None:
    files = whole()
    provenance = json.loads(files["models/m/cpu/FP32/provenance.json"]) | {field: "other"}
    changed = {**files, "models/m/cpu/FP32/provenance.json": json.dumps(provenance).encode()}
    changed["index.json"] = whole(files=described({n: d for n, d in changed.items() if n != "index.json"}))[
        "index.json"
    ]
    assert f"speaks of {field} 'other'" in refused(write(tmp_path / "b", changed, "tar"))


def test_a_pair_that_its_provenance_denies_is_refused(tmp_path: Path) -> None:
    changed = {**whole(), "models/m/cpu/FP32/m.bin": b"swapped"}
    changed["index.json"] = whole(files=described({n: d for n, d in changed.items() if n != "index.json"}))[
        "index.json"
    ]
    assert "speaks of other files" in refused(write(tmp_path / "b", changed, "tar"))


BESIDE = "models/m/cpu/FP32.compiled"


def with_blob(blob: bytes, *, told: bytes | None = None, device: str = "CPU") -> Files:
    """A bundle whose artifact is also compiled; the provenance tells of another content where one is given."""
    plain = whole()
    provenance = json.loads(plain["models/m/cpu/FP32/provenance.json"])
    provenance |= {"device": device, "files": described({"m.blob": blob if told is None else told})}
    files = {f"{BESIDE}/m.blob": blob, f"{BESIDE}/provenance.json": json.dumps(provenance).encode()}
    every = {name: data for name, data in plain.items() if name != "index.json"} | files
    (artifact,) = json.loads(plain["index.json"])["artifacts"]
    index = whole(files=described(every), artifacts=[{**artifact, "compiled": BESIDE}])["index.json"]
    return {"index.json": index, **every}


@pytest.mark.parametrize("form", FORMS)
def test_a_blob_beside_an_artifact_is_part_of_it(tmp_path: Path, form: str) -> None:
    assert verify(write(tmp_path / "b", with_blob(b"blob"), form)).files == 5


def test_a_blob_that_its_provenance_denies_is_refused(tmp_path: Path) -> None:
    assert "speaks of other files" in refused(write(tmp_path / "a", with_blob(b"blob", told=b"other"), "tar"))
    assert "speaks of device 'GPU'" in refused(write(tmp_path / "b", with_blob(b"blob", device="GPU"), "tar"))


@pytest.mark.parametrize(
    "name",
    ["../x", "/x", "a/../x", "a//x", "./x", "a/", "..", "a\\x", "C:x", "a\nx", "a\x1b[0mx", "x\u202ey", "a" * 5000, ""],
)
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, form: str, name: str) -> None:
    said = refused(write(tmp_path / "b", {**whole(), name: b"x"}, form))
    assert len(said) < 1000
    assert "\n" not in said
    assert said.isprintable()


def test_a_listed_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    path = write(tmp_path / "b", whole(files=described({"../secret": b""})), "folder")
    assert "no path within a bundle" in refused(path)


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize("name", ["models/m/cpu/FP32/m.bin", "MODELS/m/cpu/FP32/M.BIN"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path: Path, form: str, name: str) -> None:
    path = write(tmp_path / "b", whole(), form)
    if form == "tar":
        with tarfile.open(path, "a") as archive:
            add(archive, name, b"x")
    else:
        with zipfile.ZipFile(path, "a") as other:
            add_zip(other, name, b"x")
    assert "is there twice" in refused(path)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S"],
)
def test_a_tar_with_anything_but_files_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = write(tmp_path / "b", whole(), "tar")
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "models/x", type=kind, linkname="/etc/passwd")
    assert "is no plain file" in refused(path)


def test_extended_headers_are_refused_unread(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b", "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "index.json", b"{}", pax_headers={"comment": "x" * (8 << 20)})
    assert "is no plain file" in refused(tmp_path / "b")


def test_a_chain_of_long_names_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b", "w", format=tarfile.GNU_FORMAT) as archive:
        for _ in range(5000):
            add(archive, "x", b"y", type=tarfile.GNUTYPE_LONGNAME)
    assert "is no plain file" in refused(tmp_path / "b")


@pytest.mark.parametrize("size", [1 << 40, -1])
def test_a_tar_that_says_more_than_it_has_is_refused(tmp_path: Path, size: int) -> None:
    entry = tarfile.TarInfo("index.json")
    entry.size = size
    (tmp_path / "b").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert "says a wrong size" in refused(tmp_path / "b")


def test_what_follows_the_end_of_a_tar_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "tar")
    path.write_bytes(path.read_bytes() + b"payload")
    assert "something follows its end" in refused(path)


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b", "w", zipfile.ZIP_DEFLATED) as archive:
        add_zip(archive, "index.json", bytes(64 << 20), compress_type=zipfile.ZIP_DEFLATED)
    assert "is compressed" in refused(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o120777, 0o040755, 0o010644, 0])
def test_a_zip_with_anything_but_files_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "b", whole(), "zip")
    with zipfile.ZipFile(path, "a") as archive:
        add_zip(archive, "models/x", b"/etc/passwd", mode)
    assert "is a link" in refused(path)


def test_files_of_a_zip_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "zip")
    with zipfile.ZipFile(path, "a") as archive:
        add_zip(archive, "x", b"")
        archive.getinfo("x").header_offset = 0
    assert "does not begin where the file before it ends" in refused(path)


def test_a_zip_with_two_names_for_one_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "zip")
    path.write_bytes(path.read_bytes().replace(b"m.bin1234", b"m.BIN1234"))
    assert "has another name before its content" in refused(path)


def test_bytes_that_no_file_of_a_zip_owns_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "zip")
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert refused(path)
    for more in (b"J" * 60_000, b"J"):
        path = write(tmp_path / "d", whole(), "zip")
        path.write_bytes(path.read_bytes() + more)
        assert "something follows its end" in refused(path)
    hidden = write(tmp_path / "c", whole(), "zip")
    with zipfile.ZipFile(hidden, "a") as archive:
        archive.start_dir += 100
        archive.comment = b"moved"
    assert "between its files and its directory" in refused(hidden)


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "folder")
    (path / "models" / "m" / "cpu" / "FP32" / "m.bin").rename(tmp_path / "m.bin")
    (path / "models" / "m" / "cpu" / "FP32" / "m.bin").symlink_to(tmp_path / "m.bin")
    assert "is a link" in refused(path)


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "folder")
    (path / "models").rename(tmp_path / "models")
    (path / "models").symlink_to(tmp_path / "models")
    assert "is a link" in refused(path)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "b", whole(), "folder")
    os.mkfifo(path / "pipe")
    assert "no file" in refused(path)


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, form: str) -> None:
    data = write(tmp_path / "b", whole(), form).read_bytes()
    blocks = -(-len(data.rstrip(b"\0")) // 512)
    end = (blocks + 2) * 512 if form == "tar" else len(data)  # a tar ends with two empty blocks, and then some
    for length in (*range(0, end, 37), end - 512, end - 1):
        (tmp_path / "b").write_bytes(data[:length])
        assert refused(tmp_path / "b")
    (tmp_path / "b").write_bytes(data[:end])
    assert verify(tmp_path / "b")


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_changed_byte_never_changes_what_is_believed(tmp_path: Path, form: str) -> None:
    """Times and padding may change unseen, and what the index says besides; nothing else than `Refused` is raised."""
    path = write(tmp_path / "b", whole(), form)
    data, good = path.read_bytes(), verify(path)
    chance = random.Random(0)
    for _ in range(300):
        at = chance.randrange(len(data))
        path.write_bytes(data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :])
        try:
            found = verify(path)
        except Refused:
            continue
        assert (found.said["files"], found.files, found.size) == (good.said["files"], good.files, good.size)


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\x89PNG" * 1000)
    assert "neither a tar nor a zip" in refused(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"")
    assert refused(tmp_path / "b")


def test_a_bundle_that_is_refused_is_exit_code_five(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "b", _flip(whole()), "tar")
    assert run(["verify", str(path)]) == 5
    assert "m.bin' has another content than the index says" in capsys.readouterr().err
    assert run(["verify", str(tmp_path / "nothing")]) == 3
