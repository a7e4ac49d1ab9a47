"""What is begun before it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sites import Site, write_model

from modelbuild.errors import BuildError
from modelbuild.fetch import GivenFiles
from modelbuild.manifest import Variant
from modelbuild.project import Checkout, abreast
from modelbuild.project.ahead import Ahead, Begun
from modelbuild.project.judging import Judges


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Judges, "can_prove", False)
    monkeypatch.setattr("modelbuild.stages.worker._AHEAD", 600.0)  # however long it takes on a busy machine
    made = Site(tmp_path / "site", known_code)
    for number, name in enumerate(("x", "y", "z")):
        made.add(name, scale=3.0 + number)
    return made


class Workers:
    """Stands for a pool that has room for so many groups; a commission is the variant's name.

    What begins with one of ``unfit`` is taken by none of its workers; the files of models in ``remote`` are not here.
    """

    def __init__(
        self, room: int, missing: Sequence[str] = (), unfit: Sequence[str] = (), remote: Sequence[str] = ()
    ) -> None:
        self.room = room
        self.missing = missing
        self.unfit = unfit
        self.remote = list(remote)
        self.begun: list[list[str]] = []
        self.prepared: list[str] = []

    def ahead(self, variants: Sequence[Variant]) -> Ahead:
        made = Ahead(
            self._prepare,  # type: ignore[arg-type]
            self._begin,  # type: ignore[arg-type]
            is_here=lambda model: model not in self.remote,
            has_room=lambda: self.room > 0,
        )
        made.expect(iter(variants))
        return made

    def _prepare(self, variant: Variant) -> str | None:
        self.prepared.append(str(variant))
        return None if str(variant) in self.missing else str(variant)

    def _begin(self, commissions: Sequence[str]) -> list[str]:
        if commissions[0] in self.unfit:
            return []
        self.room -= 1
        self.begun.append([*commissions])
        return [f"pending {name}" for name in commissions]


@pytest.fixture
def variants(site: Site) -> list[Variant]:
    with Checkout.open(site.manifest) as checkout:
        return [*abreast(checkout.manifest.variants(), 2)]


def test_what_a_model_has_left_is_begun_in_one_go(variants: list[Variant]) -> None:
    workers = Workers(2)
    ahead = workers.ahead(variants)
    ahead.reach(variants[0])
    ahead.fill()
    assert workers.begun == [["one@cpu:FP16"], ["two@cpu:FP32", "two@cpu:FP16"]]
    begun = ahead.take(variants[2])
    assert begun is not None
    assert [*map(str, begun)] == ["one@cpu:FP16", "pending one@cpu:FP16"]
    assert ahead.take(variants[2]) is None
    assert [str(left.commission) for left in ahead.left()] == ["two@cpu:FP32", "two@cpu:FP16"]


def test_nothing_is_begun_twice_or_after_it_was_asked_for(variants: list[Variant]) -> None:
    workers = Workers(100)
    ahead = workers.ahead(variants)
    for variant in variants[:3]:
        ahead.reach(variant)
    ahead.fill()
    ahead.fill()
    begun = [name for names in workers.begun for name in names]
    assert sorted(begun) == sorted(map(str, variants[3:]))


def test_what_found_no_room_is_tried_again_and_planned_once(variants: list[Variant]) -> None:
    workers = Workers(1, unfit=["one@cpu:FP32"])
    ahead = workers.ahead(variants)
    ahead.fill()
    assert workers.begun == [["two@cpu:FP32", "two@cpu:FP16"]]
    workers.room = 1
    ahead.reach(variants[0])
    ahead.fill()
    assert workers.begun[1:] == [["one@cpu:FP16"]]
    assert workers.prepared == ["one@cpu:FP32", "one@cpu:FP16", "two@cpu:FP32", "two@cpu:FP16"]


def test_nothing_is_planned_where_there_is_no_room_for_anything(variants: list[Variant]) -> None:
    workers = Workers(0)
    workers.ahead(variants).fill()
    assert workers.prepared == []


def test_what_is_to_wait_is_left_to_who_asks(variants: list[Variant]) -> None:
    workers = Workers(100, missing=["one@cpu:FP32", "two@cpu:FP32", "two@cpu:FP16"])
    workers.ahead(variants).fill()
    assert workers.begun[0] == ["one@cpu:FP16"]
    assert "two@cpu:FP16" not in {name for names in workers.begun for name in names}


def test_what_is_still_to_be_fetched_is_tried_again(variants: list[Variant]) -> None:
    workers = Workers(100, remote=["one"])
    ahead = workers.ahead(variants)
    ahead.fill()
    assert workers.begun[0] == ["two@cpu:FP32", "two@cpu:FP16"]
    assert "one@cpu:FP32" not in {name for names in workers.begun for name in names}
    workers.remote.clear()
    ahead.fill()
    assert workers.begun[-1] == ["one@cpu:FP32", "one@cpu:FP16"]
    assert ahead._prepared == {}


def test_many_that_cannot_be_fetched_hold_up_no_other(site: Site) -> None:
    names = [f"m{n}" for n in range(30)]
    for name in names:
        site.add(name)
    with Checkout.open(site.manifest) as checkout:
        variants = [variant for variant in checkout.manifest.variants() if variant.model in names]
    workers = Workers(100, remote=names[:29])
    workers.ahead(variants).fill()
    assert workers.begun == [["m29@cpu:FP32", "m29@cpu:FP16"]]


def test_nothing_expected_is_nothing_begun() -> None:
    workers = Workers(1)
    workers.ahead([]).fill()
    assert workers.begun == []


# ---- in a checkout ----


def make_all(checkout: Checkout, variants: Sequence[Variant]) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert all([*threads.map(checkout.make, variants)])


def test_the_same_comes_out_as_without(site: Site, variants: list[Variant]) -> None:
    with Checkout.open(site.manifest) as checkout:
        for variant in variants:
            checkout.make(variant)
        checkout.reporting.write()
    here = site.contents("build")
    ran = sorted(site.ran())
    for name in ("build", "cache"):
        (site.root / name).rename(site.root / f"first-{name}")
    with Checkout.open(site.manifest, workers=2) as checkout:
        checkout.expect(variants)
        make_all(checkout, variants)
        assert checkout._making._ahead.left() == []
        checkout.reporting.write()
    assert sorted(site.ran()) == ran
    there = site.contents("build")
    reports = {name for name in here if "report" in name}
    assert {name: data for name, data in there.items() if name not in reports} == {
        name: data for name, data in here.items() if name not in reports
    }


def test_something_is_begun_before_it_is_asked_for(site: Site, variants: list[Variant]) -> None:
    begun: list[str] = []
    with Checkout.open(site.manifest, workers=2) as checkout:
        checkout.expect(variants)
        take = checkout._making._ahead.take

        def watch(variant: Variant) -> object:
            found = take(variant)
            begun.extend([str(variant)] if found is not None else [])
            return found

        checkout._making._ahead.take = watch  # type: ignore[assignment, method-assign]
        make_all(checkout, variants)
    assert begun


def make_afresh(site: Site, variants: Sequence[Variant]) -> None:
    """In this process, one after the other, where nothing is known of what was made before."""
    for name in ("build", "cache"):
        (site.root / name).rename(site.root / f"first-{name}")
    with Checkout.open(site.manifest) as checkout:
        for variant in variants:
            checkout.make(variant)


def begin(checkout: Checkout, variants: Sequence[Variant], last: str) -> None:
    """Make what it takes until ``last`` is begun and nobody has asked for it."""
    checkout.expect(variants)
    asked = iter(variants)
    while not any(str(one.commission.artifact.variant) == last for one in checkout._making._ahead.left()):
        thread = threading.Thread(target=checkout.make, args=(next(asked),))
        thread.start()
        thread.join()


def test_what_was_begun_of_another_source_is_not_delivered(site: Site, variants: list[Variant]) -> None:
    with Checkout.open(site.manifest, workers=2) as checkout:
        z = checkout.manifest.models["z"]
        begin(checkout, variants, "z@cpu:FP16")
        write_model(site.root / "src" / "z.onnx", scale=30.0)
        checkout.sources.fetch(z)
        make_all(checkout, z.variants())
        delivered = site.contents("build/z")
        assert all(checkout.is_current(variant) for variant in z.variants())
    make_afresh(site, z.variants())
    assert site.contents("build/z") == delivered


def test_a_source_that_changes_while_it_is_prepared_answers_no_other_question(
    site: Site, variants: list[Variant]
) -> None:
    """Somebody fetches it anew between the question and what is planned for it."""
    path = site.root / "src" / "z.onnx"
    first = path.read_bytes()
    with Checkout.open(site.manifest, workers=2) as checkout:
        z = checkout.manifest.models["z"]
        ask, asked = checkout._commissions.question, list[str]()

        def change(variant: Variant, given: GivenFiles) -> bytes:
            question = ask(variant, given)
            if variant.model == "z" and not asked:
                asked.append(str(variant))
                write_model(path, scale=30.0)
                checkout.sources.fetch(z)
            return question

        checkout._commissions.question = change  # type: ignore[method-assign]
        begin(checkout, variants, "z@cpu:FP16")
        make_all(checkout, z.variants())
    assert asked
    path.write_bytes(first)
    with Checkout.open(site.manifest) as checkout:
        for variant in z.variants():
            checkout.make(variant)
    delivered = site.contents("build/z")
    make_afresh(site, z.variants())
    assert site.contents("build/z") == delivered


def made_unasked(checkout: Checkout, variants: Sequence[Variant]) -> list[Begun]:
    """What was begun and nobody has asked for, once all of it is over."""
    begin(checkout, variants, "z@cpu:FP16")
    left = checkout._making._ahead.left()
    for begun in left:
        while not begun.pending.is_over:
            time.sleep(0.01)
    return left


def test_what_was_begun_and_is_never_asked_for_is_noted_and_told_once(site: Site, variants: list[Variant]) -> None:
    with Checkout.open(site.manifest, workers=2) as checkout:
        left = made_unasked(checkout, variants)
        site.ran()
        told = checkout.stop()
        assert [made.variant for made in told] == [begun.commission.artifact.variant for begun in left]
        assert site.ran() == [f"{event.stage} {event.subject}" for made in told for event in made.ran] != []
        assert checkout.stop() == []
    with Checkout.open(site.manifest) as checkout:
        assert [checkout.stale(made.variant) for made in told] == [None] * len(left)


def test_nor_need_anybody_listen(site: Site, variants: list[Variant]) -> None:
    with Checkout.open(site.manifest, workers=2) as checkout:
        left = made_unasked(checkout, variants)
    with Checkout.open(site.manifest) as checkout:
        assert [checkout.stale(begun.commission.artifact.variant) for begun in left] == [None] * len(left)


def test_a_source_that_changes_after_one_artifact_was_made_is_read_anew(site: Site, variants: list[Variant]) -> None:
    """By a worker that remembers how it was."""
    with Checkout.open(site.manifest, workers=1) as checkout:
        one = checkout.manifest.models["one"]
        make_all(checkout, one.variants()[:1])
        write_model(site.root / "src" / "one.onnx", scale=30.0)
        checkout.sources.fetch(one)
        make_all(checkout, one.variants())
    delivered = site.contents("build")
    make_afresh(site, one.variants())
    assert site.contents("build") == delivered


def outcomes(checkout: Checkout, variants: Sequence[Variant]) -> dict[str, str]:
    """The errors by variant, where others go on."""

    def one(variant: Variant) -> tuple[str, str | None]:
        try:
            checkout.make(variant)
        except BuildError as error:
            return str(variant), str(error)
        return str(variant), None

    checkout.expect(variants)
    with ThreadPoolExecutor(2) as threads:
        return {name: said for name, said in threads.map(one, variants) if said is not None}


def test_what_fails_ahead_fails_for_who_asks(site: Site, variants: list[Variant]) -> None:
    write_model(site.root / "src" / "z.onnx", op="Unknown")
    with Checkout.open(site.manifest, workers=2) as checkout:
        failed = outcomes(checkout, variants)
    assert failed.keys() == {"z@cpu:FP32", "z@cpu:FP16"}
    assert all("Unknown" in said for said in failed.values())
    assert not (site.root / "build" / "z").exists()


def test_what_cannot_be_planned_ahead_fails_for_who_asks(site: Site, variants: list[Variant]) -> None:
    (site.root / "src" / "z.onnx").unlink()
    with Checkout.open(site.manifest, workers=2) as checkout:
        failed = outcomes(checkout, variants)
    assert failed.keys() == {"z@cpu:FP32", "z@cpu:FP16"}
    assert all("z.onnx" in said for said in failed.values())
