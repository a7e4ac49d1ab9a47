from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelbuild import digest
from modelbuild.errors import SourceError
from modelbuild.fetch import Fetched, fetch
from modelbuild.manifest import DataFile, PathSource

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def get(root: Path, path: str = "m/net.onnx", sha256: str | None = None, *data: DataFile) -> Fetched:
    return fetch(PathSource(path, sha256, data), root=root, into=root / "into", offline=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "m").mkdir(parents=True)
    (tmp_path / "root" / "m" / "net.onnx").write_bytes(b"model")
    return tmp_path / "root"


def test_a_local_file_stays_where_it_is(root: Path) -> None:
    fetched = get(root)
    assert fetched.model == root / "m/net.onnx"
    assert not (root / "into").exists()
    assert [(file.name, file.sha256) for file in fetched.files] == [("net.onnx", digest.of_bytes(b"model"))]


def test_its_data_files_are_named_from_the_model(root: Path) -> None:
    (root / "m" / "net.bin").write_bytes(b"weights")
    fetched = get(root, "m/net.onnx", None, DataFile("net.bin", "m/net.bin", None))
    assert [(file.name, file.path) for file in fetched.files[1:]] == [("net.bin", root / "m/net.bin")]


def test_a_digest_that_is_given_is_held_against_the_file(root: Path) -> None:
    get(root, "m/net.onnx", digest.of_bytes(b"model"))
    with pytest.raises(SourceError, match=rf"m/net\.onnx: has the sha256 {digest.of_bytes(b'model')}, expected is 00"):
        get(root, "m/net.onnx", "0" * 64)


def test_a_git_lfs_pointer_names_the_command_that_fetches_it(root: Path) -> None:
    (root / "m" / "net.onnx").write_bytes(POINTER)
    with pytest.raises(SourceError, match=r"git lfs pull --include 'm/net\.onnx'"):
        get(root)


def test_a_file_that_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(SourceError, match=r"m/other\.onnx: is not there"):
        get(root, "m/other.onnx")


def test_what_is_not_a_file_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "m" / "pipe")
    with pytest.raises(SourceError, match="m/pipe: is not a file"):
        get(root, "m/pipe")


def test_a_link_out_of_the_root_is_refused(root: Path) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    (root / "m" / "link.onnx").symlink_to("../../secret")
    with pytest.raises(SourceError, match=r"m/link\.onnx: leads out of"):
        get(root, "m/link.onnx")


def test_digests_are_asked_of_whoever_remembers_them(root: Path) -> None:
    source = PathSource("m/net.onnx", None, ())
    fetched = fetch(source, root=root, into=root, offline=True, digest_of=lambda _: "remembered")
    assert fetched.files[0].sha256 == "remembered"
