"""Rules that extensions add to ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Final, TypeAlias

from modelbuild.errors import UsageError
from modelbuild.rewrite import Rule

ExtensionRules: TypeAlias = Mapping[str, tuple[Rule, ...]]
"""Rules by the phase in which they run together with ours."""

NONE: Final[ExtensionRules] = {}

_SETS: Final = {"normalize": "NORMALIZE", "fuse": "FUSE", "legalize": "LEGALIZE"}


def rules_of(modules: Iterable[ModuleType]) -> ExtensionRules:
    """The rules of extensions, which call them ``NORMALIZE``, ``FUSE`` and ``LEGALIZE``."""
    return {phase: tuple(rule for module in modules for rule in _rules(module, name)) for phase, name in _SETS.items()}


def _rules(module: ModuleType, name: str) -> tuple[Rule, ...]:
    given = getattr(module, name, ())
    strange = [one for one in given if not isinstance(one, Rule)] if isinstance(given, tuple | list) else [given]
    if strange:
        raise UsageError(f"extension {module.__file__}: {name} holds rules; a {type(strange[0]).__name__} is none")
    return tuple(given)
