"""What bytes, plain data and our own code are, as digests.

Two hashes with two jobs. *sha256 is identity*: it names blobs and keys, and nobody can build two files with one
sha256. *xxh3 is the fast check* (ten times as fast): it notices that a disk, a cable or a person changed a file
whose identity is known already.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

Digest: TypeAlias = str
"""A sha256 in lower-case hex."""

Plain: TypeAlias = "bool | int | float | str | list[Plain] | tuple[Plain, ...] | dict[str, Plain] | None"
"""Data that JSON can hold and give back."""

PIECE = 256 << 10  # stays in the cache of a processor between two that look at it
_SEAL = 16
_SCALARS = frozenset({bool, int, float, str, type(None)})
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def of_bytes(data: bytes | bytearray | memoryview) -> Digest:
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> Digest:
    sha = hashlib.sha256()
    for piece in pieces(path):
        sha.update(piece)
    return sha.hexdigest()


def fast_of_file(path: Path) -> str:
    """xxh3-128 in hex: to notice damage, never to name content."""
    fast = xxhash.xxh3_128()
    for piece in pieces(path):
        fast.update(piece)
    return fast.hexdigest()


def pieces(path: Path) -> Iterator[memoryview]:
    """The file's bytes in pieces that are valid only until the next one."""
    with path.open("rb", buffering=0) as file:
        yield from pieces_of(file)


def pieces_of(file: FileIO) -> Iterator[memoryview]:
    """The same of a file that is open."""
    # Read, not mapped: touched pages of a mapping count as memory, and a file cut short under it is a SIGBUS.
    buffer = memoryview(bytearray(min(PIECE, max(1, os.fstat(file.fileno()).st_size))))
    while count := file.readinto(buffer):
        yield buffer[:count]


def canonical(data: Plain) -> bytes:
    """The one JSON text of plain data: sorted, tight, ASCII."""
    _refuse_all_but_plain(data)
    return _ENCODER.encode(data).encode("ascii")


def of_data(data: Plain) -> Digest:
    return of_bytes(canonical(data))


def _refuse_all_but_plain(data: object) -> None:
    """JSON would silently make ``{1: …}`` and ``{"1": …}`` one text."""
    if isinstance(data, dict):
        for name, item in data.items():
            if not isinstance(name, str):
                raise TypeError(f"a name in plain data is a str, not {name!r}")
            if type(item) not in _SCALARS:
                _refuse_all_but_plain(item)
    elif isinstance(data, list | tuple):
        for item in data:
            if type(item) not in _SCALARS:
                _refuse_all_but_plain(item)
    elif not isinstance(data, str | int | float | None):
        raise TypeError(f"{type(data).__name__} is not plain data: {data!r}")


# ---- lines and records that prove themselves undamaged ----


def seal(body: bytes) -> bytes:
    """One line: the fast digest of ``body`` and ``body``, which holds no newline."""
    return check_sum(body).encode() + b" " + body + b"\n"


def check_sum(data: bytes) -> str:
    """Of a few bytes: to notice damage and change, never to name content."""
    return xxhash.xxh3_64_hexdigest(data)


def unseal(line: bytes) -> bytes | None:
    """The body of a sealed line, with or without its newline; None if a single bit of it changed."""
    check, body = line[:_SEAL], line[_SEAL + 1 :].removesuffix(b"\n")
    whole = len(line) > _SEAL and line[_SEAL : _SEAL + 1] == b" "
    return body if whole and check == xxhash.xxh3_64_hexdigest(body).encode() else None


# ---- our own code ----


def of_code(module: str, of: Callable[[Path], Digest] | None = None) -> Digest:
    """What a module or package does: all its files, data files too, Python less comments, docstrings and layout.

    ``of`` is `of_source`, or a memo of it.
    """
    read = of or of_source
    root = _origin(module)
    return of_data({file.relative_to(root.parent).as_posix(): read(file) for file in code_files(module)})


def code_files(module: str) -> list[Path]:
    """Every file that belongs to a module or package, in a fixed order. Imports nothing but the top package's spec."""
    root = _origin(module)
    if root.is_file():
        return [root]
    return [Path(name) for name in sorted(_files_below(str(root)))]


def of_source(path: Path) -> Digest:
    """A file of our own; of a Python file what it does, which is the same under every version of Python."""
    if path.suffix != ".py":
        return of_file(path)
    from modelbuild.lexer import meaning

    return of_bytes("\x1f".join(meaning(path)).encode("utf-8", "surrogatepass"))


def _origin(module: str) -> Path:
    """The file of a module, the folder of a package."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module!r}")
    origin = Path(spec.origin)
    found = origin.parent.joinpath(*rest) if origin.name == "__init__.py" else origin
    for path in (found, found.with_name(f"{found.name}.py")):
        if path.exists():
            return path
    raise ModuleNotFoundError(f"no module {module!r}")


def _files_below(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__" or entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files_below(entry.path)
            elif entry.is_file():
                yield entry.path
