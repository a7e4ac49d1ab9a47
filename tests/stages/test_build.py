from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys

from modelbuild import digest
from modelbuild.errors import Bug, EnvironmentTrouble, SourceError, StageError, StoreError, UnsupportedModel
from modelbuild.memo import Memo
from modelbuild.stages import Build, Errand, Event, FileInput, Inputs, Job, Outputs, Params, Shipment, Stage
from modelbuild.stages import key as keys
from modelbuild.stages.errand import done_of, errands_of, plain_of
from modelbuild.stages.history import History
from modelbuild.stages.job import jobs_of
from modelbuild.store import LocalStore, MemoryStore, Record


class Site:
    """A checkout with one model and what happened in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = root / "m.onnx"
        self.model.write_text("# made by hand\nabc")
        self.log = root / "log"
        self.events: list[Event] = []
        self.build = self.open()

    def open(self) -> Build:
        return Build.open(self.root / "cache", listener=toys.noting(self.events))

    def artifact(self, **params: Any) -> Job:
        return toys.artifact(self.model, log=self.log, **params)

    def loaded(self) -> Job:
        """The job before the artifact."""
        job = self.artifact().inputs["graph"]
        assert isinstance(job, Job)
        return job

    def ran(self) -> list[str]:
        """The stages that ran since the last call."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    @property
    def store(self) -> LocalStore:
        assert isinstance(self.build.store, LocalStore)
        return self.build.store

    def blob(self, record: Record, name: str) -> Path:
        sha256 = record.outputs[name].blob.sha256
        return self.store.root / "v1" / "blobs" / sha256[:2] / sha256[2:]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# ---- hits, and what makes a miss ----


def test_a_job_is_made_once(site: Site) -> None:
    first = site.build.ensure(site.artifact())
    assert site.ran() == ["load", "emit"]
    again = site.open().ensure(site.artifact())
    assert site.ran() == []
    assert again.was_hit
    assert not first.was_hit
    assert again.record == first.record
    assert site.store.path(again.blob("m.xml")).read_text() == "ABCCPU"


def test_another_param_reruns_only_its_stage(site: Site) -> None:
    site.build.ensure(site.artifact())
    answer = site.build.ensure(site.artifact(device="gpu"))
    assert site.ran() == ["load", "emit", "emit"]
    assert str(answer.why) == "params.device: cpu -> gpu"


def test_a_touched_file_reruns_nothing(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    site.model.touch()
    assert site.build.ensure(site.artifact()).was_hit
    assert site.ran() == []


def test_equal_results_cut_off_what_follows(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    site.model.write_text("# another comment\nabc")
    assert site.build.ensure(site.artifact()).was_hit
    assert site.ran() == ["load"]


def test_a_changed_log_reruns_nothing(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    site.model.write_text("# one line\n# two lines\nabc")
    site.build.ensure(site.artifact())
    assert site.ran() == ["load"]


def test_a_changed_file_is_named(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.model.write_text("xyz")
    answer = site.build.ensure(site.artifact())
    assert str(answer.why) == "input graph (graph.txt) changed"
    assert [(e.stage, e.why) for e in site.events if e.what == "made"][-2:] == [
        ("load", "input model changed"),
        ("emit", "input graph (graph.txt) changed"),
    ]


def test_a_file_renamed_reruns_nothing(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    moved = site.model.rename(site.root / "renamed.onnx")
    assert site.build.ensure(toys.artifact(moved, subject="renamed@cpu:FP32", log=site.log)).was_hit


def test_a_changed_package_version_reruns_what_uses_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    monkeypatch.setattr(keys, "version_of", lambda _: "99")
    site.open().ensure(site.artifact())
    assert site.ran() == ["load"]
    assert [event.why for event in site.events if event.what == "run"][-1].endswith("-> 99")


def test_a_missing_package_is_named() -> None:
    lacking = Job(Stage("x", (), ("no-such-package",), toys.load.run), "m")
    with pytest.raises(EnvironmentTrouble, match="pip install no-such-package"):
        keys.key_of(lacking, keys.Code(Memo(None)), {})


def test_code_that_a_stage_uses_reruns_it(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "used_by_stage"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1  # one")
    monkeypatch.syspath_prepend(tmp_path)
    using = Stage("emit", ("used_by_stage",), (), toys.keep.run)
    site.open().ensure(Job(using, "m"))
    (package / "__init__.py").write_text("x = 1  # a better comment")
    assert site.open().ensure(Job(using, "m")).was_hit
    (package / "__init__.py").write_text("x = 2")
    assert str(site.open().ensure(Job(using, "m")).why) == "code of used_by_stage changed"


def test_params_reach_a_stage_as_the_key_has_them(site: Site) -> None:
    seen: list[Params] = []

    def look(inputs: Inputs, params: Params, out: Outputs) -> None:
        seen.append(params)

    site.build.ensure(Job(Stage("look", (), (), look), "m", {"b": (1, 2), "a": 1}))
    assert seen == [{"a": 1, "b": [1, 2]}]
    assert list(seen[0]) == ["a", "b"]


# ---- a cache that lost something ----


def test_a_lost_intermediate_is_not_missed(site: Site) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    site.blob(site.build.ensure(site.loaded()).record, "graph.txt").unlink()
    assert site.build.ensure(site.artifact()).was_hit
    assert site.ran() == []


def test_a_lost_intermediate_is_made_again_when_needed(site: Site) -> None:
    answer = site.build.ensure(site.artifact())
    site.ran()
    for path in (site.store.root / "v1" / "blobs").glob("*/*"):
        path.unlink()
    assert str(site.open().ensure(site.artifact()).why) == "lost: m.bin, m.xml"
    assert site.ran() == ["load", "emit"]
    assert site.build.ensure(answer.job).was_hit


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"ab"), lambda p: p.write_bytes(b"abd"), Path.unlink])
def test_a_spoiled_intermediate_heals_within_one_build(site: Site, spoil: Callable[[Path], object]) -> None:
    site.build.ensure(site.artifact())
    site.ran()
    path = site.blob(site.build.ensure(site.loaded()).record, "graph.txt")
    path.chmod(0o644)
    spoil(path)
    fresh = site.open()
    site.events.clear()
    answer = fresh.ensure(site.artifact(device="gpu"))
    assert fresh.store.path(answer.blob("m.xml")).read_text() == "ABCGPU"
    assert "load" in site.ran()


def test_damage_is_told(site: Site) -> None:
    answer = site.build.ensure(site.artifact())
    path = site.blob(answer.record, "m.bin")
    path.chmod(0o644)
    path.write_bytes(b"short")
    site.build.ensure(site.artifact())
    assert [event.why for event in site.events if event.what == "damaged"] == [
        f"blob {answer.blob('m.bin').sha256[:12]}: 5 bytes, was 10; set aside, it will be made again"
    ]


def test_a_lost_record_is_said(site: Site) -> None:
    site.build.ensure(site.artifact())
    for path in (site.store.root / "v1" / "records").glob("*/*"):
        path.unlink()
    assert str(site.build.ensure(site.artifact()).why) == "lost: its record"


def test_a_nameless_blob_belongs_to_its_record(site: Site) -> None:
    kept = Job(toys.keep, "m")
    answer = site.build.ensure(kept)
    (blob,) = answer.record.references
    path = site.store.path(blob)
    path.unlink()
    assert site.build.forecast(kept).outcome == "run"
    assert str(site.build.ensure(kept).why) == "lost: a blob that its results speak of"


def test_a_later_stage_reads_a_blob_by_its_content(site: Site) -> None:
    answer = site.build.ensure(Job(toys.speak, "m", {}, {"graph": Job(toys.keep, "m")}))
    assert site.store.path(answer.blob("content")).read_bytes() == b"weights"
    assert answer.record.references == site.build.ensure(Job(toys.keep, "m")).record.references


def test_an_aside_enters_no_key(site: Site) -> None:
    def job(aside: str) -> Job:
        return Job(toys.keep, "m", {}, {}, {"origin": Job(toys.keep, aside, {"x": aside})})

    assert not site.build.ensure(job("one")).was_hit
    assert site.build.ensure(job("two")).was_hit


def test_a_changed_aside_file_is_noticed(site: Site) -> None:
    growing = Job(toys.misbehave, "m", {"how": "grow", "file": str(site.model)}, {}, {"x": FileInput(site.model)})
    with pytest.raises(StageError, match=r"m\.onnx: changed while misbehave of m read it"):
        site.build.ensure(growing)


def test_a_file_that_holds_something_else_than_what_was_asked_for_is_no_input(site: Site) -> None:
    asked = Job(toys.load, "m", {}, {"model": FileInput(site.model, digest.of_file(site.model))})
    assert not site.build.ensure(asked).was_hit
    site.model.write_text("other")
    with pytest.raises(SourceError, match=r"m\.onnx: changed since it was looked at; run again") as caught:
        site.build.ensure(asked)
    assert caught.value.__notes__ == ["input model of load of m"]
    assert site.build.ensure(Job(toys.load, "m", {}, {"model": FileInput(site.model)})).why is not None


# ---- failures ----


def test_an_input_changed_meanwhile_is_not_stored(site: Site) -> None:
    growing = Job(toys.misbehave, "m", {"how": "grow", "file": str(site.model)}, {"x": FileInput(site.model)})
    with pytest.raises(StageError, match="changed while"):
        site.build.ensure(growing)
    assert list(site.store.keys()) == []


def test_code_edited_meanwhile_is_not_stored(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "edited_module.py"
    source.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)

    def edit(inputs: Inputs, params: Params, out: Outputs) -> None:
        source.write_text("x = 22")

    with pytest.raises(StageError, match="code of edited_module was edited"):
        site.build.ensure(Job(Stage("edit", ("edited_module",), (), edit), "m"))
    assert list(site.store.keys()) == []


def test_code_that_is_read_late_is_looked_at_again(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two runs of a stage in which nothing was imported, nobody can have read an edit of its code."""
    source = tmp_path / "read_late.py"
    source.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)

    def late(inputs: Inputs, params: Params, out: Outputs) -> None:
        if params["edits"]:
            source.write_text("x = 22")
        if params["imports"]:
            importlib.import_module("read_late")

    stage = Stage("late", ("read_late",), (), late)
    site.build.ensure(Job(stage, "m", {"edits": False, "imports": False}))
    site.build.ensure(Job(stage, "m", {"edits": True, "imports": False}))
    with pytest.raises(StageError, match="code of read_late was edited"):
        site.build.ensure(Job(stage, "m", {"edits": False, "imports": True}))


def test_a_failure_is_not_remembered(site: Site) -> None:
    failing = toys.trouble("refuse", log=str(site.log))
    for _ in range(2):
        with pytest.raises(UnsupportedModel):
            site.build.ensure(failing)
    assert len(site.ran()) == 2
    assert list(site.store.keys()) == []


def test_a_failure_says_where(site: Site) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        site.build.ensure(toys.trouble("refuse", subject="resnet50"))
    assert caught.value.notes == ["in misbehave of resnet50"]
    assert [event.what for event in site.events] == ["run", "failed"]


def test_a_missing_file_says_whose(site: Site) -> None:
    site.model.unlink()
    with pytest.raises(SourceError, match="no such file") as caught:
        site.build.ensure(site.artifact())
    assert caught.value.notes == ["input model of load of m"]


def test_a_file_that_is_no_output_is_our_bug(site: Site) -> None:
    with pytest.raises(Bug, match="no output: b"):
        site.build.ensure(toys.trouble("stray"))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_an_output_stays_in_its_folder(site: Site, name: str) -> None:
    def leave(inputs: Inputs, params: Params, out: Outputs) -> None:
        out.write(name, b"")

    with pytest.raises(Bug, match="leaves the folder"):
        site.build.ensure(Job(Stage("leave", (), (), leave), "m"))


def test_a_store_that_is_full_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    store = MemoryStore(tmp_path)
    build = Build(store, Memo(None), History(None))
    build.ensure(site.artifact())
    before = copy.copy(store.records)

    def refuse(record: Record) -> None:
        raise StoreError("cache: no space left on device: free some space")

    monkeypatch.setattr(store, "publish", refuse)
    with pytest.raises(StoreError, match="no space"):
        build.ensure(site.artifact(device="gpu"))
    assert store.records == before


# ---- handing over ----


def test_handing_over_does_not_show(site: Site, tmp_path: Path) -> None:
    together = site.build.ensure(site.artifact())
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    other.build.ensure(other.loaded())
    apart = other.open().ensure(other.artifact())
    assert apart.record.results == together.record.results


def test_who_changes_what_was_handed_over_changes_a_copy(site: Site) -> None:
    texts = []
    for device in ("cpu", "gpu"):
        answer = site.build.ensure(site.artifact(device=device))
        texts.append(site.store.path(answer.blob("m.xml")).read_text())
    assert texts == ["ABCCPU", "ABCGPU"]


def test_what_pointed_into_a_file_is_not_taken_for_another_file(site: Site) -> None:
    """The results are equal, the places are not."""
    pointing = Job(toys.point, "m", {}, {}, {"model": FileInput(site.model)})
    for text in ("abc", "longer abc"):
        site.model.write_text(text)
        site.build.ensure(pointing)
        followed = Job(toys.follow, "m", {"n": text}, {"place": pointing}, {"model": FileInput(site.model)})
        assert site.store.path(site.build.ensure(followed).blob("size")).read_text() == str(len(text))


def test_an_adopted_blob_is_an_output(site: Site) -> None:
    answer = site.build.ensure(Job(toys.adopt, "m", {}, {"graph": Job(toys.keep, "m")}))
    assert answer.blob("adopted") == site.build.ensure(Job(toys.keep, "m")).blob("graph.txt")


def test_an_adopted_blob_that_is_lost_is_made_by_who_made_it(site: Site) -> None:
    adopting = Job(toys.adopt, "m", {}, {"graph": Job(toys.keep, "m")})
    blob = site.build.ensure(adopting).blob("adopted")
    site.store.path(blob).unlink()
    site.events.clear()
    assert site.build.ensure(adopting).was_hit
    assert site.store.path(blob).exists()
    assert [(event.what, event.stage) for event in site.events] == [("run", "keep"), ("made", "keep"), ("hit", "adopt")]


def test_big_pieces_are_hashed_in_passing(site: Site) -> None:
    answer = site.build.ensure(site.artifact(size=3_000_000))
    assert answer.blob("m.bin").sha256 == digest.of_bytes(bytes(3_000_000))
    assert digest.of_file(site.store.path(answer.blob("m.bin"))) == answer.blob("m.bin").sha256


# ---- forecasts ----


def test_a_forecast_runs_nothing(site: Site) -> None:
    forecast = site.build.forecast(site.artifact())
    assert [(str(f.job), f.outcome, str(f.why)) for f in forecast.would_run()] == [
        ("load of m", "run", "never built"),
        ("emit of m@cpu:FP32", "unknown", "after load of m"),
    ]
    assert site.ran() == []
    assert not (site.root / "cache" / "store").exists()


def test_a_forecast_of_what_is_there_is_a_hit(site: Site) -> None:
    answer = site.build.ensure(site.artifact())
    forecast = site.build.forecast(site.artifact())
    assert forecast.outcome == "hit"
    assert forecast.key == answer.key
    assert list(forecast.would_run()) == []


def test_a_forecast_says_what_changed_and_how_long_it_took(site: Site) -> None:
    made = site.build.ensure(site.artifact())
    forecast = site.build.forecast(site.artifact(device="gpu"))
    assert (forecast.outcome, str(forecast.why)) == ("run", "params.device: cpu -> gpu")
    assert forecast.seconds == made.record.seconds
    assert [f.job.stage.name for f in forecast.would_run()] == ["emit"]


def test_what_two_jobs_share_is_in_a_chain_once(site: Site) -> None:
    graph = site.loaded()
    spoken = Job(toys.speak, "m", {}, {"graph": Job(toys.keep, "m", {}, {"graph": graph})})
    last = Job(toys.emit, "m@cpu:FP32", {"device": "cpu"}, {"graph": graph, "spoken": spoken, "model": spoken})
    chain = [str(forecast.job) for forecast in site.build.forecast(last).chain()]
    assert chain == ["load of m", "keep of m", "speak of m", "emit of m@cpu:FP32"]


def test_a_forecast_comes_true(site: Site) -> None:
    for params in ({}, {"device": "gpu"}, {}):
        job = site.artifact(**params)
        foreseen = [f.job.stage.name for f in site.build.forecast(job).would_run()]
        site.build.ensure(job)
        assert site.ran() == foreseen


# ---- deliveries ----


def test_a_delivery_makes_and_lays_out(site: Site) -> None:
    folder = site.root / "build"
    site.build.deliver(site.artifact(), {"model.xml": "m.xml", "model.bin": "m.bin"}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml"]


def test_a_delivery_heals_a_damaged_blob(site: Site) -> None:
    answer = site.build.ensure(site.artifact())
    path = site.blob(answer.record, "m.bin")
    path.chmod(0o644)
    path.write_bytes(b"x" * 10)
    site.build.deliver(site.artifact(), {"model.bin": "m.bin"}, site.root / "build")
    assert (site.root / "build" / "model.bin").read_bytes() == bytes(10)


# ---- crossing processes ----


def errand(site: Site) -> Errand:
    job = site.artifact()
    return Errand((job,), (Shipment(job, {"model.xml": "m.xml"}, site.root / "build"),), {"xml": (job, "m.xml")})


def test_errands_cross_processes(site: Site) -> None:
    asked = [errand(site), Errand((site.artifact(),))]
    crossing = json.loads(json.dumps(plain_of(asked)))
    assert errands_of(crossing) == asked


def test_a_job_crosses_processes(site: Site) -> None:
    assert pickle.loads(pickle.dumps(site.artifact())) == site.artifact()


def test_what_was_done_crosses_processes(site: Site) -> None:
    done = site.build.fulfil(errand(site))
    assert done_of(json.loads(json.dumps(done.plain()))) == done


def test_what_two_errands_share_crosses_once(site: Site) -> None:
    one, other = Errand((site.artifact(),)), Errand((site.artifact(device="GPU"),))
    said = plain_of([one, other])
    assert [job["stage"] for job in said["jobs"]] == [toys.load.address, toys.emit.address, toys.emit.address]
    assert len(said["files"]) == 1


def test_an_errand_lays_out_and_reads_what_it_is_asked_for(site: Site) -> None:
    done = site.build.fulfil(errand(site))
    assert done.contents == {"xml": (site.root / "build" / "model.xml").read_text()}
    assert [step.stage for step in done.steps] == ["load", "emit"]
    assert done.answers["emit"].blobs["m.xml"].size == len(done.contents["xml"])


def test_the_steps_of_one_stage_are_one(site: Site) -> None:
    graph = site.loaded()
    other = Job(toys.emit, "m@cpu:FP16", {"device": "a"}, {"graph": graph})
    last = Job(toys.emit, "m@cpu:FP32", {"device": "b"}, {"graph": graph, "other": other})
    done = site.build.fulfil(Errand((last,)))
    taken = [site.build.ensure(job).record.seconds for job in (other, last)]
    assert [step.stage for step in done.steps] == ["load", "emit"]
    assert done.steps[-1].seconds == pytest.approx(sum(taken))


def test_an_errand_heals_what_is_damaged_before_it_is_read(site: Site) -> None:
    answer = site.build.ensure(site.artifact())
    path = site.blob(answer.record, "m.xml")
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    assert site.build.fulfil(errand(site)).contents["xml"] == "ABCCPU"


def test_a_stage_is_found_by_its_address() -> None:
    assert pickle.loads(pickle.dumps(toys.load)) is toys.load


def test_what_is_no_stage_is_not_taken_for_one() -> None:
    with pytest.raises(Bug, match="not a stage"):
        jobs_of([], [{"stage": "os:getpid", "subject": "m", "params": {}, "inputs": {}, "aside": {}}])


CHILD = """
import sys; from pathlib import Path; import toys; from modelbuild.stages import Build
root = Path(sys.argv[1])
log = root / "log" if len(sys.argv) > 2 else None
answer = Build.open(root / "cache").ensure(toys.artifact(root / "m.onnx", log=log, size=5_000_000))
print(answer.key.digest, *answer.record.results.values())
"""


def child(site: Site, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(toys.__file__).parent), *sys.path])
    environment = {**os.environ, **environment, "PYTHONPATH": path}
    command = [sys.executable, "-c", CHILD, str(site.root), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_make_it_once(site: Site) -> None:
    children = [child(site, "log") for _ in range(3)]
    said = {process.communicate()[0] for process in children}
    assert [process.returncode for process in children] == [0, 0, 0]
    assert len(said) == 1
    assert sorted(site.ran()) == ["emit", "load"]


def test_keys_and_results_do_not_depend_on_the_hash_seed(site: Site, tmp_path: Path) -> None:
    said = []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        folder.mkdir()
        process = child(Site(folder), PYTHONHASHSEED=seed)
        said.append(process.communicate()[0])
        assert process.returncode == 0
    assert said[0] == said[1]


def test_names_may_have_folders(site: Site) -> None:
    answer = site.build.ensure(Job(toys.nested, "m"))
    assert list(answer.record.outputs) == ["tensors/a"]
