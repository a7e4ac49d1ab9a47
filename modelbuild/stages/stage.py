"""A stage: a pure function of files, and what its answers depend on besides its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

from modelbuild.errors import Bug
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.outputs import Outputs

Params: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[Inputs, Params, Outputs], None]

_MODEST = 256 << 20


def modest(_: int) -> int:
    """The memory of a stage that reads its files in pieces."""
    return _MODEST


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """``run(inputs, params, outputs)`` reads only inputs and params and writes only outputs: no clock, no environment.

    ``code`` is every package that ``run`` may import, less the machinery below ``modelbuild.stages``; its own module
    is added. ``versions`` are the installed distributions whose version changes answers. ``memory`` tells how many
    bytes a run may need, given how many its input files have. All of a stage but ``memory`` enters its keys. There is
    one of each in a process, whatever asks for it.
    """

    name: str
    code: tuple[str, ...]
    versions: tuple[str, ...]
    run: Run = field(repr=False)
    memory: Callable[[int], int] = field(default=modest, repr=False)

    @property
    def address(self) -> str:
        """Where any process finds it."""
        return f"{self.run.__module__}:{self.run.__qualname__}"

    def __reduce__(self) -> tuple[Callable[[str], Stage], tuple[str]]:
        return stage_at, (self.address,)


def stage(
    name: str, *, code: tuple[str, ...], versions: tuple[str, ...], memory: Callable[[int], int] = modest
) -> Callable[[Run], Stage]:
    """Make a stage of a function of a module."""

    def wrap(run: Run) -> Stage:
        return Stage(name, tuple(sorted({run.__module__, *code})), tuple(sorted(versions)), run, memory)

    return wrap


@cache
def stage_at(address: str) -> Stage:
    module, _, name = address.partition(":")
    found: object = getattr(import_module(module), name, None)
    if not isinstance(found, Stage):
        raise Bug(f"{address} is not a stage")
    return found
