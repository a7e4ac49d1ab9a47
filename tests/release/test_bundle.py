from __future__ import annotations

import json
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sites import Site, write_model

from modelbuild import digest
from modelbuild.cli import run
from modelbuild.errors import SourceError, UsageError
from modelbuild.project import Checkout
from modelbuild.release import bundle
from modelbuild.release.index import SHIPPED, schema_text
from modelbuild.release.lock import tools

Capture = pytest.CaptureFixture[str]
FORMS = ("b.tar", "b.zip", "b")


def pack(output: Path | str, *selectors: str) -> Path:
    assert run(["pack", *selectors, "-o", str(output)]) == 0
    return Path(output)


def listing(path: Path) -> dict[str, bytes]:
    """Name -> content, in the order of the bundle."""
    if path.is_dir():
        return {
            file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
        }
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return dict(_tar(path))


def _tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:") as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            yield entry.name, file.read()


def index_of(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(listing(path)["index.json"])
    return said


# ---- reproducible ----


def test_a_bundle_is_the_same_wherever_and_whenever_it_is_packed(
    built_site: Site, tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {form: built_site.root / pack(form) for form in FORMS}
    other = Site(tmp_path / "elsewhere" / "deep" / "site", known_code)
    monkeypatch.chdir(other.root)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    before = os.umask(0o077)
    try:
        assert run(["build"]) == 0
        second = {form: other.root / pack(form) for form in FORMS}
    finally:
        os.umask(before)
    for form in FORMS:
        assert listing(second[form]) == listing(first[form])
    assert second["b.tar"].read_bytes() == first["b.tar"].read_bytes()
    assert second["b.zip"].read_bytes() == first["b.zip"].read_bytes()


def test_names_are_sorted_and_owners_modes_and_times_are_fixed(built_site: Site) -> None:
    with tarfile.open(pack("b.tar"), "r:") as archive:
        entries = archive.getmembers()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert names[0] == "index.json"
    assert {(e.uid, e.gid, e.uname, e.gname, e.mode, e.mtime) for e in entries} == {(0, 0, "", "", 0o644, bundle.EPOCH)}
    with zipfile.ZipFile(pack("b.zip")) as other:
        infos = other.infolist()
    assert [info.filename for info in infos] == names
    assert {(i.date_time, i.external_attr, i.create_system, i.extra) for i in infos} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644 << 16, 3, b"")
    }
    folder = pack("b")
    assert {path.stat().st_mtime for path in (folder, *folder.rglob("*"))} == {bundle.EPOCH}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}


def test_the_epoch_of_the_environment_is_the_time_of_all_files(
    built_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with tarfile.open(pack("b.tar"), "r:") as archive:
        assert {entry.mtime for entry in archive} == {1_700_000_000}
    with zipfile.ZipFile(pack("b.zip")) as other:
        assert {info.date_time for info in other.infolist()} == {(2023, 11, 14, 22, 13, 20)}


def test_a_zip_is_no_older_than_zips_can_be(built_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    with zipfile.ZipFile(pack("b.zip")) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


@pytest.mark.parametrize("said", ["", "-1", "1.5", "yesterday", "9" * 50, "٣"])
def test_an_epoch_that_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        bundle.epoch({"SOURCE_DATE_EPOCH": said})


def test_what_was_proved_here_does_not_show(built_site: Site) -> None:
    assert "proof" not in json.dumps(index_of(pack("b.tar")))


def test_what_could_not_be_proved_is_told(built_site: Site, capsys: Capture) -> None:
    pack("b.tar", "one@cpu:FP32")
    assert "not proved against its source: one@cpu:FP32" in capsys.readouterr().err


# ---- what is in it ----


def test_what_is_selected_is_in_it_as_it_was_delivered(built_site: Site) -> None:
    held = listing(pack("b.tar", "one@cpu:FP32"))
    assert held.keys() == {"index.json"} | {
        f"models/one/cpu/FP32/{name}" for name in ("one.xml", "one.bin", "provenance.json")
    }
    for path in built_site.folder().iterdir():
        assert held[f"models/one/cpu/FP32/{path.name}"] == path.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_files(built_site: Site, form: str) -> None:
    assert listing(pack(form)) == listing(pack("other.tar"))


def test_the_index_has_the_sha256_of_every_file(built_site: Site) -> None:
    held = listing(pack("b.tar"))
    said = json.loads(held.pop("index.json"))
    assert said["files"] == {name: {"bytes": len(data), "sha256": digest.of_bytes(data)} for name, data in held.items()}


def test_the_index_says_where_each_model_comes_from_and_its_licence(built_site: Site, capsys: Capture) -> None:
    built_site.models["one"]["license"] = "Apache-2.0"
    built_site.write()
    assert run(["build"]) == 0
    said = index_of(pack("b.tar"))
    assert said["models"]["one"]["license"] == "Apache-2.0"
    assert said["models"]["one"]["origin"] == "src/one.onnx"
    assert said["models"]["one"]["files"]["one.onnx"]["sha256"] == digest.of_file(built_site.root / "src" / "one.onnx")
    assert said["tools"] == tools(())
    told = capsys.readouterr().err
    assert "no licence is said in the manifest: two" in told
    assert "manifest: one" not in told


def test_the_index_follows_the_shipped_schema(built_site: Site) -> None:
    schema = json.loads(SHIPPED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(index_of(pack("b.tar")), schema)


def test_the_shipped_schema_is_that_of_the_types() -> None:
    assert SHIPPED.read_text() == schema_text()


def test_the_schema_says_where_signatures_and_bills_of_material_will_be() -> None:
    schema = json.loads(schema_text())
    assert "signatures" in schema["$defs"]["Index"]["description"]
    assert "bill of materials" in schema["$defs"]["Index"]["properties"]["bill_of_materials"]["description"]


def test_a_model_with_a_long_name_is_packed_and_found(built_site: Site) -> None:
    name = "a" * 100
    built_site.add(name)
    assert run(["build", name]) == 0
    assert f"models/{name}/cpu/FP32/{name}.xml" in listing(pack("b.tar", name))
    assert run(["verify", "b.tar"]) == 0


def test_a_zip_that_is_too_large_for_old_ones_is_packed_and_found(
    built_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    pack("b.zip")
    with zipfile.ZipFile("b.zip") as archive:
        assert any(info.extra for info in archive.infolist())
    assert run(["verify", "b.zip"]) == 0


# ---- what does not get in ----


def test_what_is_stale_does_not_get_in(built_site: Site, capsys: Capture) -> None:
    pack("b.tar")
    before = Path("b.tar").read_bytes()
    write_model(built_site.root / "src" / "one.onnx", scale=7.0)
    assert run(["pack", "-o", "b.tar"]) == 4
    told = capsys.readouterr().err
    assert "one@cpu:FP32: input model changed" in told
    assert "one@cpu:FP16: input model changed" in told
    assert Path("b.tar").read_bytes() == before


def test_what_is_stale_is_built_when_asked(built_site: Site) -> None:
    write_model(built_site.root / "src" / "one.onnx", scale=7.0)
    assert run(["pack", "--build", "-o", "b.tar"]) == 0
    source = index_of(Path("b.tar"))["models"]["one"]["files"]["one.onnx"]["sha256"]
    assert source == digest.of_file(built_site.root / "src" / "one.onnx")


def test_what_fails_does_not_get_in(built_site: Site) -> None:
    write_model(built_site.root / "src" / "one.onnx", op="NoSuchOperator")
    assert run(["pack", "-o", "b.tar"]) == 4
    assert run(["pack", "--build", "-o", "b.tar"]) == 1
    assert sorted(path.name for path in built_site.root.iterdir() if "b.tar" in path.name) == []


def test_an_orphan_does_not_get_in(built_site: Site) -> None:
    del built_site.models["two"]
    built_site.write()
    assert built_site.folder("two").exists()
    assert not [name for name in listing(pack("b.tar")) if "two" in name]
    assert run(["pack", "two", "-o", "c.tar"]) == 3


def test_an_edited_artifact_does_not_get_in(built_site: Site, capsys: Capture) -> None:
    (built_site.folder() / "one.bin").write_bytes(bytes(144))
    assert run(["pack", "-o", "b.tar"]) == 4
    assert "one.bin was changed by somebody" in capsys.readouterr().err


def test_an_artifact_without_notes_is_made_again_first(built_site: Site, capsys: Capture) -> None:
    (built_site.root / "cache" / "entries").unlink()
    assert run(["pack", "-o", "b.tar"]) == 4
    assert "what the report says of it is gone" in capsys.readouterr().err
    assert run(["pack", "--build", "-o", "b.tar"]) == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", [bytes(144), b"short", b""])
def test_a_file_that_changes_while_it_is_packed_leaves_nothing(
    built_site: Site, monkeypatch: pytest.MonkeyPatch, form: str, change: bytes
) -> None:
    monkeypatch.setattr(Checkout, "stale", lambda *_: None)  # it was looked at, and then somebody wrote
    (built_site.folder() / "one.bin").write_bytes(change)
    before = sorted(built_site.root.iterdir())
    with Checkout.open() as checkout, pytest.raises(SourceError, match="is not what was built"):
        bundle.pack(checkout, checkout.manifest.variants(), Path(form))
    assert sorted(built_site.root.iterdir()) == before


# ---- where it goes ----


@pytest.mark.parametrize("name", ["b.tar.gz", "b.tgz", "b.tar.zst"])
def test_a_compressed_bundle_is_not_made(built_site: Site, name: str) -> None:
    assert run(["pack", "-o", name]) == 3
    assert not Path(name).exists()


def test_a_folder_that_holds_something_is_left_alone(built_site: Site) -> None:
    assert run(["pack", "-o", "src"]) == 3
    assert sorted(path.name for path in Path("src").iterdir()) == ["one.onnx", "two.onnx"]


def test_an_archive_is_replaced(built_site: Site) -> None:
    Path("b.tar").write_text("old")
    assert "index.json" in listing(pack("b.tar"))


def test_folders_on_the_way_are_made(built_site: Site) -> None:
    assert pack("dist/today/b.zip").is_file()
