"""What can go wrong, as one tree.

::

    BuildError                 a person can mend it; str() is one line, notes say where
      ManifestError            models.yaml is not a manifest
      UsageError               a selector, option or argument that means nothing here
      SourceError              a source file is not what it claims: offset, found, expected
      UnsupportedModel         all operators that have no translation, at once
      StageError               a stage failed; notes hold model, node, facts
      ProofFailed              an artifact does not run, or gives what its source cannot give
      CheckFailed              an artifact exceeds limits of the manifest
      Stale                    what is there, or locked, is not what is asked for
      BrokenBundle             a release bundle is not what its index says
      StoreError               the store cannot be read or written
      EnvironmentTrouble       the machine lacks something: a package, disk, a permission
    Bug                        our own fault: says so and shows what broke
      BrokenRule               a rewrite changed the meaning of a value
      BrokenInvariant          the graph is not one any more

Context is added with ``add_note`` by whoever knows it. ``BuildError.exit_code`` is what a command line tool
returns for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the command line returns."""

    OK = 0
    FAILED = 1
    ENVIRONMENT = 2
    MANIFEST = 3
    STALE = 4
    UNPROVEN = 5
    INTERRUPTED = 130


class BuildError(Exception):
    """Something a person can mend. The message is one line: place, found, expected, what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    @property
    def notes(self) -> list[str]:
        return list(getattr(self, "__notes__", ()))


class ManifestError(BuildError):
    """All that is wrong with a manifest: one ``place: problem`` line each, in file order."""

    exit_code = ExitCode.MANIFEST

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ManifestError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class UsageError(BuildError):
    """A selector, option or argument that means nothing here."""

    exit_code = ExitCode.MANIFEST


class SourceError(BuildError):
    """A file is not what it claims to be."""


class UnsupportedModel(BuildError):
    """Operators without a translation, all at once: ``operator -> (count, reason with an example node)``."""

    def __init__(self, operators: Mapping[str, tuple[int, str]]) -> None:
        self.operators = dict(operators)
        listed = "; ".join(f"{name} (x{count}: {why})" for name, (count, why) in sorted(self.operators.items()))
        super().__init__(f"{len(self.operators)} unsupported operator(s): {listed}")

    def __reduce__(self) -> tuple[type[UnsupportedModel], tuple[dict[str, tuple[int, str]]]]:
        return type(self), (self.operators,)


class StageError(BuildError):
    """A stage of a build failed."""


class ProofFailed(BuildError):
    """An artifact does not load or run, or gives other types, shapes or (in FP32) NaNs than its source model.

    How far numbers may differ is the manifest's business: `CheckFailed`.
    """

    exit_code = ExitCode.UNPROVEN


class CheckFailed(BuildError):
    """An artifact exceeds limits that the manifest sets: all of them at once."""

    exit_code = ExitCode.UNPROVEN


class Stale(BuildError):
    """What is there, or what a lock file says, is not what the manifest, the sources and the tools ask for."""

    exit_code = ExitCode.STALE


class BrokenBundle(BuildError):
    """A release bundle is not what its index says, or holds what a bundle may not."""

    exit_code = ExitCode.UNPROVEN


class StoreError(BuildError):
    """The store cannot be read or written."""

    exit_code = ExitCode.ENVIRONMENT


class EnvironmentTrouble(BuildError):
    """The machine lacks something: a package, space, a permission, a network."""

    exit_code = ExitCode.ENVIRONMENT


class Bug(Exception):
    """Our own fault, never the model's. Please report it with the notes."""


class BrokenRule(Bug):
    """A rewrite gave a value another type or shape."""


class BrokenInvariant(Bug):
    """The graph breaks one of its invariants."""
