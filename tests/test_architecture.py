"""What a stage declares is all that it may import, so that its keys forget nothing."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pytest

from modelbuild import stages
from modelbuild.memo import Memo
from modelbuild.stages import Stage
from modelbuild.stages.key import Code


@cache
def graph(*, strangers: bool = False) -> Any:
    return grimp.build_graph(
        "modelbuild", exclude_type_checking_imports=True, include_external_packages=strangers, cache_dir=None
    )


@cache
def machinery() -> frozenset[str]:
    """What answers jobs, and is in no key: it decides whether a stage runs, never what it gives."""
    reached = graph().find_upstream_modules("modelbuild.stages")
    return frozenset(reached | {"modelbuild", "modelbuild.stages"})


def _all_stages() -> Iterator[Stage]:
    for module in sorted(pkgutil.iter_modules(stages.__path__, "modelbuild.stages."), key=lambda found: found.name):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Stage) and value.run.__module__ == module.name:
                yield value


STAGES = tuple(_all_stages())


def missing(stage: Stage) -> list[str]:
    """The modules that ``stage`` may import and does not declare."""
    reached = graph().find_upstream_modules(stage.run.__module__) - machinery()
    return sorted(module for module in reached if not _within(module, stage.code))


def superfluous(stage: Stage) -> list[str]:
    """The packages that ``stage`` declares and cannot import."""
    reached = graph().find_upstream_modules(stage.run.__module__) | {stage.run.__module__}
    return [declared for declared in stage.code if not any(_within(module, (declared,)) for module in reached)]


def strangers(stage: Stage) -> set[str]:
    """The distributions that ``stage`` may import, less what finds damage: its sums are a standard."""
    reached = graph().find_upstream_modules(stage.run.__module__) - machinery() | {stage.run.__module__}
    every = graph(strangers=True)
    imported = {name for module in reached for name in every.find_modules_directly_imported_by(module)}
    brought_by = packages_distributions()
    names = {name for name in imported - graph().modules if name not in sys.stdlib_module_names}
    return {brought_by.get(name, [name])[0].lower() for name in names} - {"xxhash"}


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_declares_all_that_it_imports(stage: Stage) -> None:
    assert missing(stage) == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_declares_nothing_else(stage: Stage) -> None:
    assert superfluous(stage) == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_names_the_distributions_that_it_imports(stage: Stage) -> None:
    assert strangers(stage) == set(stage.versions)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_a_stage_declares_exists(stage: Stage) -> None:
    assert set(Code(Memo(None)).of(stage)) == set(stage.code)


def test_stages_have_names_of_their_own() -> None:
    names = [stage.name for stage in STAGES]
    assert sorted(set(names)) == sorted(names)


def test_a_forgotten_package_is_caught() -> None:
    found = [stage for stage in STAGES if missing(Stage(stage.name, (), (), stage.run))]
    assert found, "every stage imports something"


def test_the_machinery_knows_no_model() -> None:
    above = ("modelbuild.graph", "modelbuild.ops", "modelbuild.passes", "modelbuild.frontends", "modelbuild.convert")
    assert [module for module in sorted(machinery()) if _within(module, above)] == []


@pytest.mark.parametrize("package", ["fetch", "manifest", "project", "stages", "store"])
def test_what_threads_decode_into_is_taken_apart_when_its_module_is_imported(package: str) -> None:
    """Two threads that first decode into a struct crash the process: msgspec shows one what the other has half done."""
    folder = Path(stages.__file__).parent.parent / package
    at_first_use = [
        f"{path.name}:{node.lineno}"
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and any(given.arg == "type" for given in node.keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "decode"
    ]
    assert at_first_use == []
