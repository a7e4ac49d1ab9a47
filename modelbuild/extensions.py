"""Files with operations, handlers and rules of a user's own, defined as ours are.

An operation registers itself, a handler is registered by ``@onnx.op``; rules run with ours where the file calls them
``NORMALIZE``, ``FUSE`` or ``LEGALIZE``. All of it counts only for the models that name the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble, UsageError
from modelbuild.graph.op import REGISTRY
from modelbuild.registry import EXTENSION, at_work


@contextmanager
def extended(files: Iterable[Path]) -> Iterator[tuple[ModuleType, ...]]:
    """With what ``files`` define at work; gives their modules.

    Raises :class:`UsageError` for a file that is no extension, or whose code raises.
    """
    modules = tuple(_module(path) for path in files)
    with at_work([module.__name__ for module in modules]):
        yield modules


def _module(path: Path) -> ModuleType:
    """The module of a file, once for each content. Nothing is left beside it: two edits can share a time stamp."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise EnvironmentTrouble(f"extension {path}: cannot be read: {error.strerror}") from error
    name = f"{EXTENSION}{digest.of_bytes(source)}"
    if name not in sys.modules:
        sys.modules[name] = made = ModuleType(name)
        made.__file__ = str(path)
        try:
            exec(compile(source, str(path), "exec"), made.__dict__)  # noqa: S102 - it is the user's own program
            _check(made, path)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, UsageError) or not isinstance(error, Exception):
                raise
            raise UsageError(f"extension {_place(path, error)}: {type(error).__name__}: {error}") from error
    return sys.modules[name]


def _place(path: Path, error: Exception) -> str:
    """The file, and the last line of it that led to the error."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(path) else line
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)


def _check(module: ModuleType, path: Path) -> None:
    taken = sorted(REGISTRY.part(module.__name__).keys() & REGISTRY.own.keys())
    if taken:
        raise UsageError(f"extension {path}: there is an operation {taken[0]} already; call yours otherwise")
