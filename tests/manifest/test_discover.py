from __future__ import annotations

from pathlib import Path

from modelbuild.manifest import load
from modelbuild.manifest.discover import draft


def lay(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"model")


def drafted(folder: Path) -> dict[str, str]:
    """What the draft builds, as ``load`` reads it: id -> path."""
    path = folder / "models.yaml"
    path.write_text(draft(folder))
    return {name: str(model.source) for name, model in load(path).models.items()}


def test_each_model_has_the_name_of_its_file(tmp_path: Path) -> None:
    lay(tmp_path, "det.onnx", "a/Cls V2.ONNX")
    assert drafted(tmp_path) == {"cls-v2": "a/Cls V2.ONNX", "det": "det.onnx"}


def test_files_of_one_name_are_known_by_their_folders(tmp_path: Path) -> None:
    lay(tmp_path, "a/model.onnx", "b/model.onnx", "c/x.onnx", "d/x.onnx")
    assert drafted(tmp_path) == {"a": "a/model.onnx", "b": "b/model.onnx", "c-x": "c/x.onnx", "d-x": "d/x.onnx"}


def test_ids_that_would_still_be_the_same_are_numbered(tmp_path: Path) -> None:
    lay(tmp_path, "a b.onnx", "a+b.onnx", "a&b.onnx")
    assert drafted(tmp_path) == {"a-b": "a b.onnx", "a-b-2": "a&b.onnx", "a-b-3": "a+b.onnx"}


def test_names_that_yaml_or_windows_would_take_for_something_else_are_kept_apart(tmp_path: Path) -> None:
    lay(tmp_path, "no.onnx", "12.onnx", "con.onnx", "ü: #ö.onnx", "'\".onnx")
    assert drafted(tmp_path) == {
        "12": "12.onnx",
        "model": "'\".onnx",
        "model-2": "ü: #ö.onnx",
        "model-con": "con.onnx",
        "no": "no.onnx",
    }


def test_our_own_and_hidden_folders_and_environments_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, ".git/a.onnx", "cache/a.onnx", "build/a.onnx", "venv/pyvenv.cfg", "venv/lib/a.onnx", ".a.onnx")
    assert drafted(tmp_path) == {}


def test_external_data_is_no_model(tmp_path: Path) -> None:
    lay(tmp_path, "a.onnx", "a.onnx.data", "a.onnx_data", "weights.bin")
    assert drafted(tmp_path) == {"a": "a.onnx"}


def test_what_cannot_be_built_is_named_in_a_comment(tmp_path: Path) -> None:
    lay(tmp_path, "a.tflite", "b\n.onnx", r"c\d.onnx")
    (tmp_path / "e.onnx").touch()
    (tmp_path / "l.onnx").symlink_to("/etc/hostname")
    text = draft(tmp_path)
    assert "#   'a.tflite': looks like TensorFlow Lite, of which there is no front end yet\n" in text
    assert r"#   'b\n.onnx': has a name that cannot be written in a manifest" in text
    assert r"#   'c\\d.onnx': write / between folders" in text
    assert "#   'e.onnx': is empty\n" in text
    assert "#   'l.onnx': is a link; name the file that it leads to\n" in text
    assert drafted(tmp_path) == {}


def test_a_pointer_of_git_lfs_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "# only a Git LFS pointer so far: git lfs pull" in draft(tmp_path)
    assert drafted(tmp_path) == {"a": "a.onnx"}


def test_a_draft_is_the_same_each_time(tmp_path: Path) -> None:
    lay(tmp_path, "b.onnx", "a.onnx", "z/a.onnx", "m.pb")
    assert draft(tmp_path) == draft(tmp_path)
