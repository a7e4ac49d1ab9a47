from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sites import Site, write_model

import modelbuild
from modelbuild.ci.affected import affected
from modelbuild.cli import run
from modelbuild.errors import EnvironmentTrouble, UsageError
from modelbuild.manifest import load

Capture = pytest.CaptureFixture[str]


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "state")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A work tree of git in which all is committed; the manifest lies in a folder of it."""
    git(tmp_path, "init", "-q", "-b", "main")
    made = Site(tmp_path / "site")
    (made.root / ".gitignore").write_text("/build/\n/cache/\n*.local.onnx\n")
    commit(tmp_path)
    monkeypatch.chdir(made.root)
    return made


def since(site: Site, ref: str = "HEAD") -> dict[str, str]:
    return affected(load(site.manifest), ref)


def test_nothing_is_affected_by_nothing(site: Site) -> None:
    assert since(site) == {}


def test_a_changed_source_affects_its_model(site: Site) -> None:
    write_model(site.root / "src" / "one.onnx", scale=7.0)
    assert since(site) == {"one": "src/one.onnx changed"}


def test_committed_changes_count_as_well(site: Site) -> None:
    write_model(site.root / "src" / "one.onnx", scale=7.0)
    commit(site.root)
    assert since(site) == {}
    assert since(site, "HEAD~1") == {"one": "src/one.onnx changed"}


@pytest.mark.parametrize("links", [("src/one.onnx",), ("src/link.onnx", "src/one.onnx")], ids=len)
def test_what_a_link_leads_to_affects_its_model(site: Site, links: tuple[str, ...]) -> None:
    place = site.root / "big" / "one.onnx"
    place.parent.mkdir()
    (site.root / "src" / "one.onnx").rename(place)
    for link in links:
        (site.root / link).symlink_to(os.path.relpath(place, site.root / "src"))
        place = site.root / link
    commit(site.root)
    assert since(site) == {}
    write_model(site.root / "big" / "one.onnx", scale=7.0)
    assert since(site) == {"one": "src/one.onnx changed"}
    git(site.root, "checkout", "-q", "big")
    write_model(site.root / "big" / "other.onnx", scale=8.0)
    commit(site.root)
    (site.root / links[0]).unlink()
    (site.root / links[0]).symlink_to("../big/other.onnx")
    assert since(site) == {"one": "src/one.onnx changed"}


def test_a_changed_entry_affects_its_model(site: Site) -> None:
    site.models["two"]["tags"] = ["new"]
    site.write()
    assert since(site) == {"two": "its entry in the manifest changed"}


def test_changed_defaults_affect_every_model_that_takes_them(site: Site) -> None:
    site.models["one"]["precisions"] = ["FP32"]
    site.write()
    commit(site.root)
    site.manifest.write_text(site.manifest.read_text().replace('"FP32", "FP16"', '"FP16"'))
    assert since(site) == {"two": "its entry in the manifest changed"}


def test_a_model_that_only_moved_in_the_manifest_is_not_affected(site: Site) -> None:
    site.manifest.write_text("# a comment\n\n" + site.manifest.read_text())
    assert since(site) == {}


def test_a_new_model_is_affected(site: Site) -> None:
    site.add("three")
    assert since(site) == {"three": "is new in the manifest"}


def test_a_changed_include_affects_its_models(site: Site) -> None:
    said = json.loads(site.manifest.read_text())
    (site.root / "more.yaml").write_text(json.dumps({"models": {"two": said["models"].pop("two")}}))
    site.manifest.write_text(json.dumps({**said, "include": ["more.yaml"]}))
    commit(site.root)
    assert since(site) == {}
    more = (site.root / "more.yaml").read_text()
    (site.root / "more.yaml").write_text(more.replace('"source"', '"tags": ["x"], "source"'))
    assert since(site) == {"two": "its entry in the manifest changed"}


def test_weights_that_only_the_model_names_affect_it(site: Site) -> None:
    site.add("three", external="three.weights")
    commit(site.root)
    weights = site.root / "src" / "three.weights"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert since(site) == {"three": "src/three.weights changed"}


def test_a_source_that_is_gone_affects_its_model(site: Site) -> None:
    (site.root / "src" / "one.onnx").unlink()
    assert since(site).keys() == {"one"}


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_other_reference_inputs_affect_their_model(site: Site, change: str) -> None:
    data = site.root / "data" / "a.npy"
    data.parent.mkdir()
    data.write_bytes(b"1")
    site.models["two"]["reference"] = {"data": ["data/*.npy"]}
    site.write()
    commit(site.root)
    assert since(site) == {}
    data.write_bytes(b"2") if change == "edited" else data.unlink()
    assert since(site) == {"two": "data/a.npy changed"}


def test_an_edited_extension_affects_its_model(site: Site) -> None:
    path = site.root / "tools" / "acme.py"
    path.parent.mkdir()
    path.write_text("")
    site.models["two"]["extensions"] = ["tools/acme.py"]
    site.write()
    commit(site.root)
    path.write_text("x = 1")
    assert since(site) == {"two": "tools/acme.py changed"}


def test_a_file_that_git_does_not_know_affects_its_model(site: Site) -> None:
    site.add("own.local")
    commit(site.root)
    assert since(site) == {"own.local": "git does not know src/own.local.onnx, so it may have changed"}


def test_other_files_affect_nothing(site: Site) -> None:
    (site.root / "README").write_text("hello")
    (site.root.parent / "elsewhere").write_text("hello")
    assert since(site) == {}


def test_another_version_of_a_tool_affects_what_was_locked_with_it(site: Site) -> None:
    assert run(["build", "one", "--lock"]) == 0
    lock = site.root / "models.lock" / "one.json"
    said = json.loads(lock.read_text())
    said["tools"]["numpy"] = "1.0"
    lock.write_text(json.dumps(said))
    commit(site.root)
    assert since(site)["one"].startswith("numpy was 1.0, and is ")
    assert since(site).keys() == {"one"}


def test_a_lock_that_was_broken_then_affects_its_model(site: Site) -> None:
    lock = site.root / "models.lock" / "one.json"
    lock.parent.mkdir()
    lock.write_text("<<<<<<< HEAD\n")
    commit(site.root)
    assert since(site) == {"one": "its lock file was not in order"}


def test_without_a_manifest_then_all_is_affected(site: Site) -> None:
    git(site.root, "rm", "-q", "--cached", "models.yaml")
    git(site.root, "commit", "-q", "-m", "none")
    assert since(site) == dict.fromkeys(["one", "two"], "models.yaml was not there")


def test_a_manifest_that_was_broken_then_affects_all(site: Site) -> None:
    text = site.manifest.read_text()
    site.manifest.write_text("version: 1\nmodels: {one: {}}\n")
    commit(site.root)
    site.manifest.write_text(text)
    assert {why.partition(":")[0] for why in since(site).values()} == {"models.yaml was not in order"}


@pytest.mark.parametrize(
    ("name", "affects"), [("passes/new_rule.py", True), ("plan/artifact.py", True), ("cli/building.py", False)]
)
def test_our_own_code_in_the_work_tree_affects_all_that_it_makes(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, affects: bool
) -> None:
    home = site.root.parent / "modelbuild"
    shutil.copytree(Path(modelbuild.__file__).parent, home, ignore=shutil.ignore_patterns("__pycache__"))
    commit(site.root.parent)
    with (home / name).open("a") as file:
        file.write("# changed\n")
    monkeypatch.setattr(modelbuild, "__file__", str(home / "__init__.py"))
    assert since(site).keys() == ({"one", "two"} if affects else set())


@pytest.mark.parametrize("ref", ["nowhere", "--all", "-h", "HEAD:site", "", "$(touch x)", "HEAD\n"])
def test_what_is_no_commit_is_refused(site: Site, ref: str) -> None:
    with pytest.raises(UsageError, match="knows no commit"):
        since(site, ref)
    assert not (site.root / "x").exists()


def test_outside_of_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(EnvironmentTrouble, match="no work tree of git"):
        since(Site(tmp_path / "site"))


def test_without_git_it_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentTrouble, match="git is not installed"):
        since(site)


def test_the_command_prints_selectors(site: Site, capsys: Capture) -> None:
    write_model(site.root / "src" / "one.onnx", scale=7.0)
    assert run(["affected", "--since", "HEAD"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("one\n", "one: src/one.onnx changed\n")
    assert run(["affected", "--since", "HEAD", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"one": "src/one.onnx changed"}


def test_looking_leaves_no_trace(site: Site) -> None:
    before = site.files()
    since(site)
    assert site.files() == before
