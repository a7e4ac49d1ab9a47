from __future__ import annotations

import json
import os
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from sites import Site, write_model

from modelbuild import digest, flock
from modelbuild.errors import BuildError, ManifestError, SourceError, StoreError, UnsupportedModel
from modelbuild.manifest import Variant, select
from modelbuild.project import Checkout
from modelbuild.project.commission import Commissions
from modelbuild.project.judging import Judges
from modelbuild.project.stamp import Stamp, Stamps
from modelbuild.stages.key import Code
from modelbuild.stages.look import Looks

ALL = ["load", "optimize", "specialize", "emit", "describe", "package"]


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Judges, "can_prove", False)
    return Site(tmp_path / "site", known_code)


def build(site: Site, *selectors: str) -> list[str]:
    """Build as commands do; gives the stages that ran."""
    with Checkout.open(site.manifest) as checkout:
        for variant in select(selectors, checkout.manifest):
            if checkout.stale(variant) is not None:
                checkout.make(variant)
        if not checkout.reporting.is_current():
            checkout.reporting.write()
    return site.ran()


def stale(site: Site, *selectors: str) -> dict[str, str]:
    with Checkout.open(site.manifest) as checkout:
        reasons = {str(variant): checkout.stale(variant) for variant in select(selectors, checkout.manifest)}
    return {name: why for name, why in reasons.items() if why is not None}


def first(checkout: Checkout) -> Variant:
    return checkout.manifest.variants()[0]


# ---- nothing more than needed ----


def test_a_first_build_runs_every_stage_once(site: Site) -> None:
    ran = build(site)
    assert len(ran) == len(set(ran))
    assert [stage for stage in ran if stage.endswith((" one", "one@cpu:FP32"))] == [
        f"{stage} one{'' if stage in {'load', 'optimize'} else '@cpu:FP32'}"
        for stage in ["load", "optimize", "specialize", "describe", "emit", "package"]
    ]


def test_what_is_delivered_is_the_pair_and_its_provenance(site: Site) -> None:
    build(site)
    assert sorted(path.name for path in site.folder().iterdir()) == ["one.bin", "one.xml", "provenance.json"]
    said = json.loads((site.folder() / "provenance.json").read_text())
    assert said["files"].keys() == {"one.xml", "one.bin"}


def test_looking_at_what_is_up_to_date_touches_no_file(site: Site) -> None:
    build(site)
    before = site.files()
    assert build(site) == []
    assert stale(site) == {}
    assert site.files() == before


def test_one_option_of_one_model_rebuilds_only_what_depends_on_it(site: Site) -> None:
    build(site)
    site.models["one"]["inputs"] = {"x": {"shape": [3, 8]}}
    site.write()
    assert {name.split()[1].partition("@")[0] for name in build(site)} == {"one"}


def test_another_licence_changes_only_what_says_so(site: Site) -> None:
    build(site)
    site.models["one"]["license"] = "MIT"
    site.write()
    assert build(site) == ["package one@cpu:FP32", "package one@cpu:FP16"]


def test_a_line_more_in_the_manifest_changes_nothing(site: Site) -> None:
    build(site)
    site.manifest.write_text("\n\n" + site.manifest.read_text())
    before = site.files()
    assert build(site) == []
    assert site.files() == before


def test_a_touched_source_runs_nothing(site: Site) -> None:
    build(site)
    source = site.root / "src" / "one.onnx"
    content = source.read_bytes()
    source.unlink()
    source.write_bytes(content)
    assert build(site) == []


def test_another_source_is_built_and_says_why(site: Site) -> None:
    build(site)
    write_model(site.root / "src" / "one.onnx", scale=3.0)
    assert stale(site) == {f"one@cpu:{p}": "input model changed" for p in ("FP32", "FP16")}
    assert {name.split()[1].partition("@")[0] for name in build(site)} == {"one"}


def test_a_deleted_build_is_restored_without_converting(site: Site) -> None:
    build(site)
    before = site.contents("build")
    for path in sorted((site.root / "build").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert stale(site, "one@cpu:FP32") == {"one@cpu:FP32": "one.bin is missing"}
    assert build(site) == []
    assert site.contents("build") == before


def test_what_was_made_of_the_very_same_is_delivered_without_planning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(site)
    before = site.contents("build/one")
    shutil.rmtree(site.root / "build")
    monkeypatch.setattr(Commissions, "artifact", None)
    assert build(site) == []
    assert site.contents("build/one") == before


def test_a_damaged_blob_is_made_again_before_it_is_delivered(site: Site) -> None:
    build(site)
    before = site.contents("build/one")
    weights = (site.folder() / "one.bin").read_bytes()
    shutil.rmtree(site.root / "build")
    blob = site.root / "cache" / "store" / "v1" / "blobs" / (name := digest.of_bytes(weights))[:2] / name[2:]
    blob.chmod(0o644)
    blob.write_bytes(bytes(len(weights)))
    assert "emit one@cpu:FP32" in build(site)
    assert site.contents("build/one") == before


@pytest.mark.parametrize("name", ["one.xml", "one.bin", "provenance.json"])
def test_an_edited_file_is_put_right(site: Site, name: str) -> None:
    build(site)
    path = site.folder() / name
    content = path.read_bytes()
    stat = path.stat()
    path.write_bytes(b"?" + content[1:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert stale(site) == {"one@cpu:FP32": f"{name} was changed by somebody"}
    assert build(site) == []
    assert path.read_bytes() == content


def test_a_lost_cache_costs_only_time(site: Site) -> None:
    build(site)
    before = site.contents("build/one")
    (site.root / "cache" / "ledger").unlink()
    assert build(site) == []
    assert site.contents("build/one") == before


def test_other_code_of_a_stage_reruns_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build(site)
    plain = Code.of_module

    def edited(self: Code, module: str) -> str:
        found = plain(self, module)
        return found[::-1] if module == "modelbuild.ir" else found

    monkeypatch.setattr(Code, "of_module", edited)
    monkeypatch.setattr(Code, "as_written", "edited")
    assert {name.split()[0] for name in build(site)} == {"emit"}


# ---- sources ----


def test_a_copied_checkout_looks_at_its_own_sources(site: Site) -> None:
    source = site.root / "src" / "one.onnx"
    build(site)
    os.utime(source, (0, 0))
    site.models["one"]["license"] = "MIT"
    site.write()
    build(site)
    copy = site.root.parent / "copy"
    shutil.copytree(site.root, copy)
    write_model(copy / "src" / "one.onnx", scale=3.0)
    with Checkout.open(copy / "models.yaml") as checkout:
        assert checkout.stale(first(checkout)) == "input model changed"


def test_a_source_that_changes_between_two_artifacts_is_no_answer_to_what_was_asked(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        one, other, *_ = checkout.manifest.variants()
        checkout.make(one)
        write_model(site.root / "src" / "one.onnx", scale=3.0)
        checkout._making._looks = Looks(1)  # as a worker that has not seen the file before
        with pytest.raises(SourceError, match=r"one\.onnx: changed since it was looked at; run again"):
            checkout.make(other)
        assert checkout.stale(other) == "never built here"


def test_nor_is_an_extension_that_does(site: Site) -> None:
    extension = site.root / "extension.py"
    extension.write_text("BEFORE = True\n")
    site.models["one"]["extensions"] = [extension.name]
    site.write()
    with Checkout.open(site.manifest) as checkout:
        one, other, *_ = checkout.manifest.variants()
        checkout.make(one)
        extension.write_text("AFTER = True\n")
        checkout._making._looks = Looks(1)
        with pytest.raises(SourceError, match=r"extension\.py: changed since it was looked at; run again"):
            checkout.make(other)
        assert checkout.stale(other) == "never built here"


def test_external_data_is_found_and_is_part_of_the_key(site: Site) -> None:
    site.add("far", external="far.data")
    build(site, "far")
    assert stale(site, "far") == {}
    data = site.root / "src" / "far.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\x40")
    assert stale(site, "far") == {f"far@cpu:{p}": "input data:far.data changed" for p in ("FP32", "FP16")}
    assert "load far" in build(site, "far")


def test_what_a_model_reads_besides_is_told_without_opening_it_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("far", external="far.data")
    build(site, "far")
    monkeypatch.setattr("modelbuild.frontends.load.read_source", None)
    with Checkout.open(site.manifest) as checkout:
        files = checkout.sources.here(checkout.manifest.models["far"])
    assert [file.name for file in files] == ["far.onnx", "far.data"]


def test_a_missing_source_is_told_and_the_last_artifact_stays(site: Site) -> None:
    build(site)
    before = site.contents("build")
    (site.root / "src" / "one.onnx").unlink()
    assert "is not there" in stale(site)["one@cpu:FP32"]
    with Checkout.open(site.manifest) as checkout, pytest.raises(SourceError, match=r"src/one.onnx: is not there"):
        checkout.make(first(checkout))
    assert site.contents("build") == before


def test_an_unsupported_model_leaves_the_last_artifact(site: Site) -> None:
    build(site)
    before = site.contents("build")
    write_model(site.root / "src" / "one.onnx", op="NoSuchOperator")
    with Checkout.open(site.manifest) as checkout, pytest.raises(UnsupportedModel, match="NoSuchOperator"):
        checkout.make(first(checkout))
    assert site.contents("build") == before


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02 no model", b"GGUF"])
def test_a_file_that_is_no_model_is_an_error_of_one_line(site: Site, content: bytes) -> None:
    (site.root / "src" / "one.onnx").write_bytes(content)
    with Checkout.open(site.manifest) as checkout, pytest.raises(BuildError) as raised:
        checkout.make(first(checkout))
    assert "\n" not in str(raised.value)
    assert not (site.root / "build" / "one").exists()


def test_a_folder_without_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="modelbuild init"):
        Checkout.open(tmp_path / "models.yaml")


# ---- orphans, and taking away ----


def test_what_is_not_asked_for_any_more_is_an_orphan(site: Site) -> None:
    build(site)
    del site.models["two"]
    site.write()
    with Checkout.open(site.manifest) as checkout:
        orphans = checkout.orphans()
        assert [orphan.folder for orphan in orphans] == [site.folder("two", "FP16"), site.folder("two", "FP32")]
        for orphan in orphans:
            checkout.remove(orphan)
    assert not (site.root / "build" / "two").exists()
    assert site.folder("one").exists()


def test_folders_of_others_are_no_orphans(site: Site) -> None:
    build(site)
    (site.root / "build" / "theirs").mkdir()
    (site.root / "build" / "theirs" / "provenance.json").write_text('{"model": "x"}')
    outside = site.root / "outside"
    site.folder("two").rename(outside)
    (site.root / "build" / "link").symlink_to(outside)
    with Checkout.open(site.manifest) as checkout:
        assert checkout.orphans() == []


def test_what_lies_in_the_place_of_a_folder_is_told(site: Site) -> None:
    build(site)
    shutil.rmtree(site.folder())
    site.folder().write_text("a file")
    with Checkout.open(site.manifest) as checkout:
        assert str(checkout.stale(first(checkout))).endswith(" is missing")
        with pytest.raises(StoreError, match="a file is in the way of a folder: move it"):
            checkout.make(first(checkout))


def test_a_provenance_of_endless_depth_is_nobodys(site: Site) -> None:
    (site.root / "build").mkdir()
    (site.root / "build" / "provenance.json").write_text("[" * 200_000)
    with Checkout.open(site.manifest) as checkout:
        assert checkout.orphans() == []


def test_where_nothing_can_be_noted_looking_still_works(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build(site)
    monkeypatch.setattr(Code, "as_written", "with another comment")

    def refuse(_: Stamps, variant: Variant, stamp: Stamp) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(Stamps, "note", refuse)
    with Checkout.open(site.manifest) as checkout:
        assert [checkout.stale(variant) for variant in checkout.manifest.variants()] == [None] * 4


def test_an_older_note_for_the_report_is_not_believed(site: Site) -> None:
    build(site)
    entries = site.root / "cache" / "entries"
    before = entries.read_bytes()
    write_model(site.root / "src" / "one.onnx", scale=7.0)
    build(site)
    entries.write_bytes(before)  # as a power cut may
    with Checkout.open(site.manifest) as checkout:
        assert checkout.stale(first(checkout)) == "what the report says of it is gone, or of another build"
        made = checkout.make(first(checkout))
        assert made.ran == ()
        assert checkout.stale(first(checkout)) is None


def test_what_another_build_made_since_is_not_noted_over(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        checkout.make(first(checkout))
        write_model(site.root / "src" / "one.onnx", scale=7.0)
        with Checkout.open(site.manifest) as other:
            other.make(first(other))
    with Checkout.open(site.manifest) as checkout:
        assert checkout.stale(first(checkout)) is None


def test_whoever_only_looks_changes_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build(site)
    for slack in ("memo._STALE_LINES", "project.ledger._SLACK", "stages.history._STALE_LINES"):
        monkeypatch.setattr(f"modelbuild.{slack}", 0)
    for name in ("ledger", "entries", "history", "memo"):
        path = site.root / "cache" / name
        path.write_bytes(path.read_bytes() * 3)  # most of which counts no more
    before = site.files()
    with Checkout.open(site.manifest) as checkout:
        assert [checkout.stale(variant) for variant in checkout.manifest.variants()] == [None] * 4
    write_model(site.root / "src" / "one.onnx", scale=4.0)
    with Checkout.open(site.manifest) as checkout:
        assert checkout.stale(first(checkout)) is not None
    assert {**site.files(), "src/one.onnx": None} == {**before, "src/one.onnx": None}


def test_cleaning_leaves_files_of_others(site: Site) -> None:
    build(site)
    (site.folder() / "notes.txt").write_text("mine")
    with Checkout.open(site.manifest) as checkout:
        for variant in checkout.manifest.variants():
            checkout.clean(variant)
    assert sorted(site.contents("build")) == ["build/one/cpu/FP32/notes.txt", "build/report.html", "build/report.json"]


def test_a_provenance_that_names_files_elsewhere_removes_nothing_there(site: Site) -> None:
    build(site)
    precious = site.root / "build" / "precious"
    precious.write_text("keep")
    path = site.folder() / "provenance.json"
    said = json.loads(path.read_text())
    said["files"]["../../../precious"] = {}
    path.write_text(json.dumps(said))
    with Checkout.open(site.manifest) as checkout:
        checkout.clean(first(checkout))
    assert precious.exists()


def test_what_was_cleaned_right_after_it_was_made_is_not_noted_once_more(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        checkout.make(first(checkout))
        checkout.clean(first(checkout))
    with Checkout.open(site.manifest) as checkout:
        assert checkout.stale(first(checkout)) == "never built here"


def test_a_dry_cleaning_says_what_it_would_remove(site: Site) -> None:
    build(site)
    before = site.files()
    with Checkout.open(site.manifest) as checkout:
        named = checkout.clean(first(checkout), dry=True)
    assert [path.name for path in named] == ["one.bin", "one.xml", "provenance.json"]
    assert site.files() == before


# ---- threads, records, report, proof ----


def test_a_thread_leaves_the_work_to_a_process(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        thread = threading.Thread(target=checkout.make, args=(first(checkout),))
        thread.start()
        thread.join()
        assert checkout._builds._pool is not None
    assert site.ran()[:2] == ["load one", "optimize one"]
    assert stale(site, "one@cpu:FP32") == {}


def test_in_processes_and_here_the_same_bytes_come_out(site: Site) -> None:
    build(site)
    here = site.contents("build")
    (site.root / "build").rename(site.root / "first")
    (site.root / "cache").rename(site.root / "first-cache")
    with Checkout.open(site.manifest, workers=2) as checkout:
        threads = [threading.Thread(target=checkout.make, args=(v,)) for v in checkout.manifest.variants()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    there = site.contents("build")
    assert there
    assert there.items() <= here.items()


def test_the_report_says_what_was_built(site: Site) -> None:
    build(site)
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert [(a["model"], a["precision"]) for a in said["artifacts"]] == [
        ("one", "FP16"), ("one", "FP32"), ("two", "FP16"), ("two", "FP32"),
    ]  # fmt: skip
    assert {stage["name"] for stage in said["artifacts"][0]["stages"]} == set(ALL)


def test_a_report_that_another_build_writes_is_not_read_meanwhile(built_site: Site) -> None:
    with Checkout.open(built_site.manifest) as checkout:
        looking = threading.Thread(target=checkout.reporting.is_current)
        with flock.folder_held(checkout.cache, 0):
            looking.start()
            looking.join(0.1)
            assert looking.is_alive()
        looking.join(10)
        assert not looking.is_alive()


def test_the_report_forgets_what_is_not_asked_for(site: Site) -> None:
    build(site)
    del site.models["two"]
    site.write()
    build(site)
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert {a["model"] for a in said["artifacts"]} == {"one"}


def test_the_report_tells_of_failures(site: Site) -> None:
    build(site)
    with Checkout.open(site.manifest) as checkout:
        checkout.reporting.write({first(checkout): ["it broke", "in load of one"]})
        assert not checkout.reporting.is_current()
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert [a["errors"] for a in said["artifacts"] if a["status"] == "failed"] == [["it broke", "in load of one"]]


@pytest.mark.skipif(find_spec("openvino") is None or find_spec("onnxruntime") is None, reason="needs both runtimes")
def test_an_artifact_is_proved_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", True)
    ran = build(site, "one@cpu:FP32")
    assert [name for name in ran if name.startswith("prove")] == ["prove one@cpu:FP32"]
    assert build(site, "one@cpu:FP32") == []
    said = json.loads((site.root / "build" / "report.json").read_text())
    assert said["artifacts"][0]["proof"]["max_rel_to_peak"] < 1e-5


@pytest.mark.skipif(find_spec("openvino") is None or find_spec("onnxruntime") is None, reason="needs both runtimes")
def test_runtimes_that_come_later_add_only_what_runs_the_artifact(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build(site, "one@cpu:FP32")
    monkeypatch.setattr(Judges, "can_prove", True)
    assert build(site, "one@cpu:FP32") == ["prove one@cpu:FP32", "measure one@cpu:FP32"]


def test_a_lost_note_for_the_report_is_made_again(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        variant = first(checkout)
        checkout.make(variant)
        checkout.reporting.forget(variant)
        assert checkout.stale(variant) == "what the report says of it is gone, or of another build"
        checkout.make(variant)
        assert checkout.stale(variant) is None


def test_a_transform_runs_only_for_the_model_that_asks_for_it(built_site: Site) -> None:
    built_site.models["one"]["transform"] = {"pruning": True}
    built_site.write()
    with Checkout.open(built_site.manifest) as checkout:
        ran = {str(v): [event.stage for event in checkout.make(v).ran] for v in checkout.manifest.variants()}
        (first, *_) = checkout.manifest.variants()
        assert [job for job, _ in checkout.traces(first)] == [
            "optimize of one", "transform of one", f"specialize of {first}",
        ]  # fmt: skip
    assert ran["one@cpu:FP32"][0] == "transform"
    assert ran["two@cpu:FP32"] == []


def test_what_is_renamed_is_proved_under_its_new_names(site: Site) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    site.models = {"one": {**site.models["one"], "inputs": {"x": {"rename": "image"}}, "outputs": {"y": "scores"}}}
    site.write()
    with Checkout.open(site.manifest) as checkout:
        (variant, *_) = checkout.manifest.variants()
        artifact = checkout.artifact(variant)
        checkout.make(variant)
        proof = json.loads(checkout._builds.here.content(artifact.prove, "proof.json"))
    assert (list(proof["inputs"]), list(proof["outputs"])) == (["image"], ["scores"])
    assert 'names="image"' in (site.root / "build/one/cpu/FP32/one.xml").read_text()
