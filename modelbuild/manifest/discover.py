"""A first manifest for the models that lie in a folder."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelbuild.manifest import notation
from modelbuild.manifest.nodes import plain_kind

_BUILT = ".onnx"
_NOT_YET = {
    ".caffemodel": "Caffe",
    ".h5": "Keras",
    ".keras": "Keras",
    ".nnet": "Kaldi",
    ".params": "MXNet",
    ".pb": "TensorFlow",
    ".pdmodel": "PaddlePaddle",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".tflite": "TensorFlow Lite",
}
_PASSED_OVER = {"build", "cache", "node_modules", "__pycache__"}
_NAMELESS = {"model", "saved_model", "network", "net", "weights", "inference"}
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
_LONGEST_ID = 90  # leaves room for a number
_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file that looks like a model; ``refusal`` is why it is none to build, ``note`` what to know before."""

    path: PurePosixPath
    refusal: str | None = None
    note: str | None = None


def draft(folder: Path) -> str:
    """The text of a manifest for the models below ``folder``, where it is meant to lie.

    What was seen but cannot be built is named in comments. Hidden folders, virtual environments, ``build/`` and
    ``cache/`` are passed over.
    """
    seen = sorted(_walk(folder), key=lambda one: one.path.as_posix())
    models = [one for one in seen if one.refusal is None]
    lines = [
        "# What is built, from what, for which devices; `modelbuild schema` prints all that may be written here.",
        "",
        "version: 1",
        "",
        "defaults:",
        "  targets: [cpu]",
        "  precisions: [FP32, FP16]",
        "",
        "models:" if models else "models: {}    # none was found",
    ]
    for name, one in sorted(zip(_ids(one.path for one in models), models, strict=True)):
        lines.append(f"  {_yaml(name)}:")
        if one.note:
            lines.append(f"    # {one.note}")
        lines.append(f"    source: {{path: {_yaml(one.path.as_posix())}}}")
    if refused := [one for one in seen if one.refusal]:
        lines += ["", "# Seen, but not built:"]
        lines += [f"#   {one.path.as_posix()!r}: {one.refusal}" for one in refused]
    return "\n".join(lines) + "\n"


def _walk(folder: Path) -> Iterator[_Seen]:
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        # Assigned in place: that is how os.walk is told where not to go. Links to folders it does not follow anyway.
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _PASSED_OVER]
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        for name in files:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if not name.startswith(".") and (suffix == _BUILT or suffix in _NOT_YET):
                yield _look(path, PurePosixPath(path.relative_to(folder).as_posix()))
    for error in unreadable:
        yield _Seen(PurePosixPath(Path(error.filename).relative_to(folder).as_posix()), str(error.strerror))


def _look(file: Path, path: PurePosixPath) -> _Seen:
    if format_name := _NOT_YET.get(path.suffix.lower()):
        return _Seen(path, f"looks like {format_name}, of which there is no front end yet")
    if file.is_symlink():
        return _Seen(path, "is a link; name the file that it leads to")
    if not file.is_file():
        return _Seen(path, "is no file")
    if not path.as_posix().isprintable():
        return _Seen(path, "has a name that cannot be written in a manifest")
    try:
        notation.inner_path(path.as_posix())
        with file.open("rb") as content:
            start = content.read(len(_LFS))
    except (ValueError, OSError) as reason:
        return _Seen(path, str(reason))
    if not start:
        return _Seen(path, "is empty")
    return _Seen(path, note="only a Git LFS pointer so far: git lfs pull" if start == _LFS else None)


def _ids(paths: Iterable[PurePosixPath]) -> Iterator[str]:
    """The stem; with the folders where several have the same; with a number where that is taken too."""
    listed = list(paths)
    short = [_short(path) for path in listed]
    shared = {name for name, count in Counter(short).items() if count > 1}
    taken = set(short) - shared
    for path, name in zip(listed, short, strict=True):
        if name not in shared:
            yield name
            continue
        long = _slug(path.with_suffix("").as_posix())
        number, unique = 1, long
        while unique in taken:
            number, unique = number + 1, f"{long}-{number + 1}"
        taken.add(unique)
        yield unique


def _short(path: PurePosixPath) -> str:
    """Files that all have the same name are known by their folders."""
    return _slug(path.parent.name if path.stem.lower() in _NAMELESS and path.parent.name else path.stem)


def _slug(text: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())[-_LONGEST_ID:].strip("._-") or "model"
    try:
        return notation.folder_name(name)
    except ValueError:
        return f"model-{name}"


def _yaml(text: str) -> str:
    """A printable text in YAML: as it is, or in double quotes, where YAML reads what JSON writes."""
    plain = _PLAIN.fullmatch(text) and plain_kind(text) == "text"
    return text if plain else json.dumps(text, ensure_ascii=False)
