"""doit itself, run as people run it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from sites import Site, write_model

from modelbuild import tasks
from modelbuild.errors import StoreError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, known_code: Path) -> Site:
    """Built once; tests that change something take a copy."""
    site = Site(tmp_path_factory.mktemp("finished") / "site", known_code)
    done = site.doit()
    assert done.returncode == 0, done.stdout + done.stderr
    return site


@pytest.fixture
def site(tmp_path: Path, known_code: Path) -> Site:
    return Site(tmp_path / "site", known_code)


@pytest.fixture
def built(finished: Site, tmp_path: Path) -> Site:
    """A copy of a checkout in which all is built: nothing that is noted knows where it lies."""
    copy = Site(tmp_path / "site")
    shutil.copytree(finished.root, copy.root, dirs_exist_ok=True)
    list(copy.events())
    return copy


def test_a_first_run_says_what_it_made(site: Site) -> None:
    done = site.doit()
    assert done.returncode == 0, done.stderr
    assert "one@cpu:FP32" in done.stdout
    assert "never built" in done.stdout
    assert "4 made" in done.stdout
    assert (site.root / "build" / "report.html").is_file()


def test_a_second_run_runs_nothing_and_touches_nothing(finished: Site) -> None:
    before = finished.files()
    done = finished.doit("source", "build", "report")
    assert done.stdout == "4 up to date\n"
    assert finished.files() == before


@pytest.mark.parametrize("is_there", [True, False])
def test_neither_looking_nor_restoring_imports_numpy_or_a_front_end(built: Site, is_there: bool) -> None:
    if not is_there:
        shutil.rmtree(built.root / "build")
    done = built.run("doit", PYTHONPROFILEIMPORTTIME="1")
    assert ("4 up to date" if is_there else "4 from the store") in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "modelbuild.tasks" in imported
    assert imported & {"numpy", "onnx", "rich", "modelbuild.frontends", "modelbuild.plan"} == set()


def test_list_shows_our_tasks_beside_the_users(finished: Site) -> None:
    listed = finished.doit("list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["build", "mine", "report", "source"]


def test_list_all_shows_every_artifact(finished: Site) -> None:
    listed = finished.doit("list", "--all", "-q").stdout.split()
    assert {"source:one", "build:one", "build:one@cpu:FP32", "build:two@cpu:FP16"} <= set(listed)


def test_info_describes_an_artifact(finished: Site) -> None:
    done = finished.doit("info", "build:one@cpu:FP32")
    assert "up-to-date" in done.stdout
    assert "build/one/cpu/FP32/one.xml" in done.stdout
    assert done.returncode == 0


def test_a_selected_model_is_built_alone(site: Site) -> None:
    (site.root / "src" / "two.onnx").unlink()  # would fail if it were looked at
    done = site.doit("build:one")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name.split()[1].partition("@")[0] for name in site.ran()} == {"one"}


def test_an_artifact_can_be_asked_for_by_its_file(site: Site) -> None:
    assert site.doit("build/one/cpu/FP16/one.xml").returncode == 0
    assert sorted(path.name for path in (site.root / "build" / "one" / "cpu").iterdir()) == ["FP16"]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_two_at_once_build_the_same_bytes(site: Site, finished: Site, kind: str) -> None:
    done = site.doit("-n", "2", "-P", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 made" in done.stdout
    for folder in ("build/one", "build/two"):
        assert site.contents(folder) == finished.contents(folder)
    assert "4 up to date" in site.doit().stdout


@pytest.mark.parametrize("selected", [(), ("build",), ("report",), ("mine",)])
def test_models_are_made_while_others_are_still_to_be_fetched(site: Site, selected: tuple[str, ...]) -> None:
    site.add("zero")
    (site.root / "src" / "zero.onnx").unlink()
    with (site.root / "dodo.py").open("a") as dodo:
        dodo.write("\n\ndef task_mine():\n    return {'actions': None, 'task_dep': ['build']}\n")
    done = site.doit(*selected)
    assert done.returncode == 1
    assert "failed  zero  " in done.stdout
    assert "4 made, 1 failed" in done.stdout


def test_only_what_changed_is_built(built: Site) -> None:
    write_model(built.root / "src" / "two.onnx", scale=5.0)
    done = built.doit()
    assert "input model changed" in done.stdout
    assert "2 made, 2 up to date" in done.stdout
    assert {name.split()[1].partition("@")[0] for name in built.ran()} == {"two"}


def test_a_deleted_build_is_restored_from_the_store(built: Site) -> None:
    before = built.contents("build")
    shutil.rmtree(built.root / "build")
    done = built.doit()
    assert "4 from the store" in done.stdout
    assert built.contents("build") == before
    assert built.ran() == []


def test_clean_removes_what_is_ours_and_nothing_else(built: Site) -> None:
    (built.folder() / "notes.txt").write_text("mine")
    assert built.doit("clean", "-n").returncode == 0
    assert (built.folder() / "one.xml").exists()
    assert built.doit("clean").returncode == 0
    assert list(built.contents("build")) == ["build/one/cpu/FP32/notes.txt"]
    assert "4 from the store" in built.doit().stdout


def test_what_cannot_be_cleaned_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> list[Path]:
        raise StoreError("build/one: the file system is read-only")

    tasks._remove(refuse)
    assert capsys.readouterr().err == "build/one: the file system is read-only\n"


def test_forgotten_tasks_run_again_and_find_all_in_the_store(built: Site) -> None:
    before = built.contents("build")
    assert built.doit("forget", "build").returncode == 0
    assert "4 from the store" in built.doit().stdout
    assert built.contents("build") == before
    assert built.ran() == []


def test_a_lost_database_of_doit_costs_hits_only(built: Site) -> None:
    (built.root / "cache" / "doit.db").unlink()
    assert "4 from the store" in built.doit().stdout
    assert built.ran() == []


def test_a_failing_model_is_one_line_and_its_notes(site: Site) -> None:
    (site.root / "src" / "one.onnx").write_bytes(b"no model")
    done = site.doit()
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "failed  one  " in done.stdout


def test_with_c_the_others_are_built(site: Site) -> None:
    write_model(site.root / "src" / "one.onnx", op="NoSuchOperator")
    done = site.doit("-c", "-n", "2")
    assert done.returncode in {1, 2}
    assert "2 made, 2 failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert site.folder("two").exists()
    assert not site.folder("one").exists()


def test_what_was_begun_when_one_failed_is_told(site: Site) -> None:
    for n in range(20):
        site.add(f"m{n:02}", op="Mystery" if n == 4 else "Relu")
    done = site.doit("-n", "2")
    assert done.returncode == 1
    told = set(re.findall(r"^made +([^ ]+)", done.stdout, re.MULTILINE)) - {"time"}
    assert f"{len(told)} made" in done.stdout
    there = {"/".join(path.parts[-4:-1]) for path in (site.root / "build").glob("*/*/*/provenance.json")}
    untold = there - {name.replace("@", "/").replace(":", "/") for name in told}
    assert len(untold) <= 2  # one of each worker that was stopped before it could say so
    assert len(told) == len(there) - len(untold) > 0


def test_a_bad_manifest_is_told_once_and_tasks_of_others_run(built: Site) -> None:
    built.manifest.write_text("version: 1\nmodels:\n  one: {sauce: {path: src/one.onnx}}\n")
    listed = built.doit("list")
    assert "models.yaml:3" in listed.stderr
    assert "mine" in listed.stdout
    mine = built.doit("mine")
    assert (mine.returncode, mine.stdout) == (0, ".  mine\nmine\n")


def test_a_bad_manifest_fails_a_build_with_doits_own_code(built: Site) -> None:
    built.manifest.write_text("version: 1\nmodels: {One: {source: {path: src/one.onnx}}, two: {}}\n")
    done = built.doit("build")
    assert done.returncode == 3
    assert done.stderr.count("models.yaml:2") == 2
    assert "Traceback" not in done.stderr


def test_other_reporters_of_doit_work(finished: Site) -> None:
    done = finished.doit("-r", "json", "build")
    assert {task["result"] for task in json.loads(done.stdout)["tasks"]} == {"up-to-date"}


def test_a_copied_dodo_needs_no_more_than_the_package(site: Site) -> None:
    dodo = Path(__file__).parent.parent / "dodo.py"
    shutil.copy(dodo, site.root / "dodo.py")
    assert len(dodo.read_text().splitlines()) == 3
    assert site.doit("build:one@cpu:FP32").returncode == 0


_LOG = """

class Log:
    def __init__(self):
        self.file = open("log.txt", "w")
        self.say = self.write  # a cycle

    def write(self):
        self.file.write("said")


def task_log():
    return {"actions": [Log().say]}
"""


def test_what_others_left_unwritten_is_written(site: Site) -> None:
    with (site.root / "dodo.py").open("a") as dodo:
        dodo.write(_LOG)
    done = site.doit("log")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site.root / "log.txt").read_text() == "said"


_EXPORTING = """
from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source as _sources


def task_export():
    return {"actions": ["sleep 0.5; cp new.onnx src/last.onnx"], "file_dep": ["new.onnx"], "targets": ["src/last.onnx"]}


def task_approve():
    return {"actions": ["test -e approved"], "uptodate": [False]}


def task_source():
    for task in _sources():
        if task.get("name") == "last":
            task["task_dep"] = ["export"]
        if task.get("name") == "one":
            task["task_dep"] = ["approve"]
        yield task


def task_all():
    return {"actions": None, "task_dep": ["export", "build"]}
"""


@pytest.fixture
def exporting(site: Site) -> Site:
    """Others have a say in two of its models: ``last`` is written by a task, ``one`` has to be approved."""
    for name in ("m0", "m1", "m2", "m3", "last"):
        site.add(name)
    (site.root / "dodo.py").write_text(_EXPORTING)
    (site.root / "approved").touch()
    write_model(site.root / "new.onnx", scale=19.0)
    return site


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_what_others_do_before_a_source_is_waited_for(exporting: Site, workers: tuple[str, ...]) -> None:
    assert exporting.doit(*workers, "build").returncode == 0
    write_model(exporting.root / "new.onnx", scale=21.0)
    for name in ("m0", "m1", "m2", "m3"):
        write_model(exporting.root / "src" / f"{name}.onnx", scale=22.0)
    done = exporting.doit(*workers, "build")
    assert "10 made" in done.stdout, done.stdout + done.stderr
    assert exporting.run("modelbuild", "status").returncode == 0


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_what_waits_for_others_that_fail_is_not_made(exporting: Site, workers: tuple[str, ...]) -> None:
    (exporting.root / "approved").unlink()
    assert exporting.doit(*workers, "-c", "build").returncode == 2
    assert not (exporting.root / "build" / "one").exists()
    assert (exporting.root / "build" / "last" / "cpu" / "FP16").is_dir()


def test_tasks_of_others_keep_their_place_before_a_group(exporting: Site) -> None:
    dodo = exporting.root / "dodo.py"
    dodo.write_text(dodo.read_text().replace('task["task_dep"] = ["export"]', "pass"))
    for scale in (21.0, 23.0):
        write_model(exporting.root / "new.onnx", scale=scale)
        assert exporting.doit("all").returncode == 0
        assert exporting.run("modelbuild", "status").returncode == 0


def test_what_the_environment_says_wrongly_is_told_in_one_line(site: Site) -> None:
    done = site.run("doit", MODELBUILD_TIMEOUT="soon")
    assert done.returncode == 3
    assert "soon" in done.stderr
    assert "Traceback" not in done.stderr
