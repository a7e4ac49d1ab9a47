"""What a file is by its first bytes, so that a wrong one is refused by name."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final

from modelbuild.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_SIGNATURES: Final = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)"),
    (0, b"PK\x03\x04", "a zip archive (PyTorch, Keras, numpy or a package)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"GGUF", "a GGUF file (llama.cpp)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "an onnxruntime model in its own format"),
    (8, b'{"', "a safetensors file"),
    (0, b"\x80\x02", "a Python pickle (PyTorch)"),
    (0, b"\x80\x03", "a Python pickle"),
    (0, b"\x80\x04", "a Python pickle"),
    (0, b"\x80\x05", "a Python pickle"),
    (0, b"\x7fELF", "a program or library"),
    (0, b"\0B", "a Kaldi model"),
)
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_XML: Final = (b"<?xml", b"<net")
_TEXT: Final = frozenset(string.printable.encode())


def recognise(head: bytes) -> str | None:
    """Name what begins with ``head`` (512 bytes are enough); None where that is not known."""
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(_XML):
        return "an XML file (OpenVINO IR)" if b"<net" in head else "an XML file"
    if start and _TEXT.issuperset(start):
        return "text"
    return None


def refuse_others(path: Path, wanted: str) -> None:
    """Raise ``SourceError`` if the file is empty, a Git-LFS pointer, or recognised: ``wanted`` has no signature."""
    if not path.is_file():
        raise SourceError(f"{path}: found {'a folder' if path.is_dir() else 'no such file'}, expected {wanted}")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise SourceError(f"{path}: found an empty file, expected {wanted}")
    if head.startswith(_LFS):
        raise SourceError(f"{path}: found a Git-LFS pointer, expected {wanted}: `git lfs pull` fetches it")
    if found := recognise(head):
        raise SourceError(f"{path}: found {found}, expected {wanted}")
