"""With only the store left, what was made is delivered without asking the stages again."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from sites import Site, question_of, write_model

from modelbuild import digest
from modelbuild.errors import SourceError
from modelbuild.fetch import FetchedFile
from modelbuild.manifest import Variant
from modelbuild.memo import Memo
from modelbuild.project import Checkout, shared, whole
from modelbuild.project.builds import Builds
from modelbuild.project.commission import Commissions
from modelbuild.project.judging import Judges
from modelbuild.project.named_files import NamedFiles
from modelbuild.project.question import PACKAGES, Questions
from modelbuild.project.shared import SharedNote
from modelbuild.stages.event import unheard
from modelbuild.stages.key import Code
from modelbuild.store import LocalStore


@pytest.fixture
def site(built_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Judges, "can_prove", False)
    return built_site


def lose_all_but_the_store(site: Site) -> None:
    shutil.rmtree(site.root / "build")
    for path in (site.root / "cache").iterdir():
        if path.name != "store":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_all(site: Site) -> list[str]:
    with Checkout.open(site.manifest) as checkout:
        for variant in checkout.manifest.variants():
            checkout.make(variant)
        checkout.reporting.write()
    return site.ran()


def first(checkout: Checkout) -> Variant:
    return checkout.manifest.variants()[0]


def the_question(site: Site) -> tuple[LocalStore, bytes]:
    """What is asked of the first artifact as a whole, and the store that knows."""
    with Checkout.open(site.manifest) as checkout:
        variant = first(checkout)
        return checkout.store, question_of(checkout, variant)


def test_nothing_is_planned(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = site.contents("build")
    lose_all_but_the_store(site)
    monkeypatch.setattr(Commissions, "artifact", None)
    assert make_all(site) == []
    assert site.contents("build") == before


def test_what_was_restored_is_up_to_date(site: Site) -> None:
    lose_all_but_the_store(site)
    make_all(site)
    with Checkout.open(site.manifest) as checkout:
        assert [checkout.stale(variant) for variant in checkout.manifest.variants()] == [None] * 4
        assert checkout.reporting.is_current()


def test_our_code_written_otherwise_is_asked_stage_by_stage(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = site.contents("build")
    lose_all_but_the_store(site)
    monkeypatch.setattr(Code, "as_written", "with another comment")
    assert make_all(site) == []
    assert site.contents("build") == before


def test_a_damaged_note_is_set_aside_and_written_again(site: Site) -> None:
    before = site.contents("build")
    store, question = the_question(site)
    place = store.place("records", digest.of_bytes(question))
    place.write_bytes(place.read_bytes().replace(b'"entry"', b'"entri"'))
    lose_all_but_the_store(site)
    assert make_all(site) == []
    assert site.contents("build") == before
    assert whole.read(store, question) is not None


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b'{"keys": {"package": "../../etc"}, "entry": {}, "notes": []}',
        b'{"keys": {}, "entry": {}, "notes": []}',
    ],
)
def test_a_note_that_says_something_else_is_not_believed(site: Site, said: bytes) -> None:
    store, question = the_question(site)
    known = shared.read(store, question)
    assert known is not None
    shared.write(store, question, known._replace(note=said))
    assert whole.read(store, question) is None


def test_a_note_without_the_files_is_not_believed(site: Site) -> None:
    store, question = the_question(site)
    known = shared.read(store, question)
    assert known is not None
    shared.write(store, question, known._replace(blobs={}))
    assert whole.read(store, question) is None


def test_it_is_kept_and_carried_with_what_it_speaks_of(site: Site) -> None:
    _, question = the_question(site)
    with Checkout.open(site.manifest) as checkout:
        assert digest.of_bytes(question) in checkout.keys(first(checkout))


def test_the_question_names_all_packages_that_stages_do() -> None:
    from test_architecture import STAGES

    assert set(PACKAGES) == {name for stage in STAGES for name in stage.versions}


def test_the_report_is_put_together_of_what_was_rendered_before(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    make_all(site)
    before = site.contents("build")
    lose_all_but_the_store(site)
    monkeypatch.setattr("modelbuild.report.page.row", None)
    make_all(site)
    assert site.contents("build") == before


def test_what_failed_is_told_to_nobody_else(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        before = set(checkout.store.keys())
        checkout.reporting.write({first(checkout): ["it broke"]})
        news = [checkout.store.record(key) for key in set(checkout.store.keys()) - before]
    assert not [record for record in news if record is not None and record.fields["stage"] == "report"]


# ---- files that a model names ----


def learning(site: Site) -> NamedFiles:
    with Checkout.open(site.manifest) as checkout:
        code = Code(Memo(None))
        builds = Builds(checkout.cache, Memo(None), code, unheard, workers=1, memory=None, timeout=None)
        return NamedFiles(builds, Questions(checkout.manifest, code))


def own_file(site: Site, model: str = "far") -> FetchedFile:
    path = site.root / "src" / f"{model}.onnx"
    return FetchedFile(path.name, path, digest.of_file(path))


def test_models_are_not_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("far", external="far.data")
    known = learning(site)
    assert known.of(own_file(site)) == ["far.onnx", "far.data"]
    known.keep(own_file(site))
    monkeypatch.setattr("modelbuild.frontends.load.read_source", None)
    assert learning(site).of(own_file(site)) == ["far.onnx", "far.data"]


def test_looking_alone_notes_nothing(site: Site) -> None:
    site.add("far", external="far.data")
    before = site.files()
    with Checkout.open(site.manifest) as checkout:
        checkout.sources.here(checkout.manifest.models["far"])
    assert site.files() == before


def test_what_was_looked_at_is_not_read_again_to_be_fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is not there any more as it was."""
    read: list[str] = []
    plain = NamedFiles.of

    def of(named: NamedFiles, own: FetchedFile) -> list[str]:
        read.append(own.sha256)
        return plain(named, own)

    monkeypatch.setattr(NamedFiles, "of", of)
    site.add("new", scale=7.0)
    path = site.root / "src" / "new.onnx"
    with Checkout.open(site.manifest) as checkout:
        model = checkout.manifest.models["new"]
        found = checkout.sources.here(model)
        assert checkout.sources.fetch(model) == found
        assert len(read) == 1
        write_model(path, scale=8.0)
        assert checkout.sources.fetch(model) != found
        assert len(read) == 2
        path.unlink()
        path.mkdir()
        with pytest.raises(SourceError, match="not a file"):
            checkout.sources.fetch(model)


@pytest.mark.parametrize("names", [["../../secret"], ["/etc/passwd"], [""], "far.data", [1]])
def test_files_elsewhere_are_not_believed(site: Site, names: Any) -> None:
    site.add("far", external="far.data")
    known = learning(site)
    own = own_file(site)
    note = SharedNote(json.dumps(names).encode(), {}, 0.0)
    shared.write(LocalStore(site.root / "cache" / "store"), known._questions.of_file(own.sha256), note)
    assert known.of(own) == ["far.onnx", "far.data"]
