"""Tables that classes and functions register themselves in, when the module that defines them is imported.

What the module of an extension registers is kept apart, and is found only while that extension is at work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

EXTENSION: Final = "modelbuild_extension_"
"""What the names of extensions' modules begin with."""

_at_work: ContextVar[tuple[str, ...]] = ContextVar("extensions at work", default=())


class Registry(Generic[K, V]):
    """A table of our own things, and one for each extension; those of extensions come first, the last one foremost."""

    def __init__(self) -> None:
        self.own: dict[K, V] = {}
        self._extensions: dict[str, dict[K, V]] = {}

    def part(self, module: str) -> dict[K, V]:
        """Where things that ``module`` defines are registered."""
        return self._extensions.setdefault(module, {}) if module.startswith(EXTENSION) else self.own

    def extended(self, key: K) -> V | None:
        """What an extension that is at work registered."""
        if not self._extensions:
            return None
        parts = (self._extensions.get(module, {}) for module in reversed(_at_work.get()))
        return next((part[key] for part in parts if key in part), None)

    def find(self, key: K) -> V | None:
        found = self.extended(key)
        return self.own.get(key) if found is None else found


@contextmanager
def at_work(modules: Sequence[str]) -> Iterator[None]:
    """Let what ``modules`` registered be found, by this thread alone."""
    token = _at_work.set((*_at_work.get(), *modules))
    try:
        yield
    finally:
        _at_work.reset(token)
