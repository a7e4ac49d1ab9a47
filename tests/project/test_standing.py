"""After one change, what other models gave to a report is taken over from the report as it stands."""

from __future__ import annotations

import pytest
from sites import Site, write_model

from modelbuild.manifest import select
from modelbuild.project import Checkout, parts, sealed, shared
from modelbuild.project.judging import Judges

REPORT = ("report.json", "report.html")


@pytest.fixture
def site(built_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Whose report is up to date; what the store has of it is out of sight."""
    monkeypatch.setattr(Judges, "can_prove", False)
    with Checkout.open(built_site.manifest) as checkout:
        for variant in checkout.manifest.variants():
            checkout.make(variant)
        checkout.reporting.write()
    monkeypatch.setattr(shared, "read", lambda *_: None)
    return built_site


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models of which a report says something that was not said before."""
    models: list[str] = []
    render = parts.part

    def noted(said: str | None, model: str, *given: object) -> parts.Part:
        models.append(model)
        return render(said, model, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "part", noted)
    return models


def write(site: Site, *, change: str | None = None) -> list[str]:
    """Make a model anew if it is to ``change``, and write the report; says which files are other than they were."""
    if change is not None:
        write_model(site.root / "src" / f"{change}.onnx", scale=7.0)
    with Checkout.open(site.manifest) as checkout:
        for variant in select([change], checkout.manifest) if change is not None else ():
            checkout.make(variant)
        return [path.name for path in checkout.reporting.write()]


def report(site: Site) -> list[bytes]:
    return [(site.root / "build" / name).read_bytes() for name in REPORT]


def test_only_what_changed_is_told_anew(site: Site, rendered: list[str]) -> None:
    assert write(site, change="one") == list(REPORT)
    assert rendered == ["one"]
    before = report(site)
    (site.root / "cache" / "parts").unlink()
    assert write(site) == []
    assert rendered == ["one", "one", "two"]
    assert report(site) == before


def test_a_model_that_goes_takes_its_lines_with_it(site: Site, rendered: list[str]) -> None:
    site.add("zero", scale=3.0)
    write(site, change="zero")
    with_zero = report(site)
    one = site.models.pop("one")
    site.write()
    write(site)
    assert all(b"src/one.onnx" not in text for text in report(site))
    site.models["one"] = one
    site.write()
    write(site)
    assert report(site) == with_zero
    assert rendered == ["zero", "one"]


@pytest.mark.parametrize("name", REPORT)
def test_nothing_is_taken_from_a_report_that_somebody_edited(site: Site, rendered: list[str], name: str) -> None:
    before = report(site)
    path = site.root / "build" / name
    path.write_bytes(path.read_bytes().replace(b"two", b"TWO"))
    assert write(site) == [name]
    assert rendered == ["one", "two"]
    assert report(site) == before


@pytest.mark.parametrize("name", REPORT)
def test_nor_from_one_that_is_gone(site: Site, rendered: list[str], name: str) -> None:
    before = report(site)
    (site.root / "build" / name).unlink()
    assert write(site) == [name]
    assert rendered == ["one", "two"]
    assert report(site) == before


@pytest.mark.parametrize("index", [b"", b"0123456789abcdef {}\n", b"\xff" * 100])
def test_a_damaged_index_costs_time_only(site: Site, rendered: list[str], index: bytes) -> None:
    (site.root / "cache" / "parts").write_bytes(index)
    assert write(site) == []
    assert rendered == ["one", "two"]
    assert write(site) == []
    assert rendered == ["one", "two"]


def test_an_index_of_another_version_counts_as_none(site: Site, rendered: list[str]) -> None:
    sealed.write(site.root / "cache" / "parts", b'{"sums": ["a", "b"], "models": {"one": 1}}')
    assert write(site) == []
    assert rendered == ["one", "two"]


def test_what_failed_is_told_once(site: Site, rendered: list[str]) -> None:
    with Checkout.open(site.manifest) as checkout:
        checkout.reporting.write({checkout.manifest.variants()[0]: ["it broke"]})
    assert b"it broke" in report(site)[0]
    assert write(site) == list(REPORT)
    assert rendered == ["one", "one"]
    assert all(b"it broke" not in text for text in report(site))


def test_the_keys_of_its_parts_are_kept_from_a_sweep(site: Site) -> None:
    with Checkout.open(site.manifest) as checkout:
        keys = [checkout.reporting.key(model) for model in checkout.manifest.models.values()]
        assert all(key is not None and checkout.store.recall(key) is not None for key in keys)
