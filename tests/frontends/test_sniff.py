"""Files of another kind are refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelbuild.errors import SourceError
from modelbuild.frontends.sniff import refuse_others

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git-LFS pointer.*`git lfs pull`"),
        (b"name: 'deploy'\nlayer {\n", "text"),
        (b'<?xml version="1.0"?>\n<net name="m" version="11">', "OpenVINO IR"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<html>', "an XML file, expected"),
        (b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
        (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"\x80\x02}q\0", "pickle"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"w":', "safetensors"),
        (b"\0" * 257 + b"ustar", "tar archive"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=rf"m\.onnx: found .*{found}"):
        refuse_others(file, "an ONNX model")


def test_a_folder_and_nothing_at_all_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found a folder, expected an ONNX model"):
        refuse_others(tmp_path, "an ONNX model")
    with pytest.raises(SourceError, match="found no such file"):
        refuse_others(tmp_path / "none", "an ONNX model")


def test_a_protobuf_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"\x08\x08\x12\x07pytorch")
    refuse_others(tmp_path / "m", "an ONNX model")
