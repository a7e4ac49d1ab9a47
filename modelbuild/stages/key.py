"""A key: all that an answer depends on, by name, and the digest of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from modelbuild import digest
from modelbuild.digest import Digest, Plain
from modelbuild.errors import EnvironmentTrouble
from modelbuild.memo import Memo, Signature, signature
from modelbuild.stages.job import Job
from modelbuild.stages.stage import Stage

KEY_FORMAT = 1
"""Raised when the meaning of fields changes: every key is another one then."""

Given: TypeAlias = Digest | Mapping[str, Digest]
"""What a role brings in: the digest of a file, or those of a job's results by name."""


@dataclass(frozen=True, slots=True)
class Key:
    """``fields``: format, stage, code, params, versions, inputs; nested, and plain."""

    fields: Mapping[str, Plain]
    question: bytes = field(init=False, repr=False)
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "question", digest.canonical(dict(self.fields)))
        object.__setattr__(self, "digest", digest.of_bytes(self.question))


class Code:
    """The digests of our own code, taken once: what this process runs is what it found when it started.

    A file edited later is not in any digest, but a late import might read it: `check` tells.
    """

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._digests: dict[str, Digest] = {}
        self._signatures: dict[str, list[Signature]] = {}

    def of(self, stage: Stage) -> dict[str, Plain]:
        return {module: self.of_module(module) for module in stage.code}

    def of_module(self, module: str) -> Digest:
        if module not in self._digests:
            self._signatures[module] = _signatures(module)
            self._digests[module] = digest.of_code(module, self._of_source)
        return self._digests[module]

    def changed(self, stage: Stage) -> Iterator[str]:
        """The packages of ``stage`` with a file that was written since their digest was taken."""
        return (module for module in stage.code if _signatures(module) != self._signatures[module])

    def _of_source(self, path: Path) -> Digest:
        return self._memo.of(path, digest.of_source)


def key_of(job: Job, code: Code, inputs: Mapping[str, Given]) -> Key:
    return Key(
        {
            "format": KEY_FORMAT,
            "stage": job.stage.name,
            "code": code.of(job.stage),
            "params": dict(job.params),
            "versions": {name: version_of(name) for name in job.stage.versions},
            "inputs": {role: given if isinstance(given, str) else dict(given) for role, given in inputs.items()},
        }
    )


def _signatures(module: str) -> list[Signature]:
    return [signature(path) for path in digest.code_files(module)]


@cache
def version_of(distribution: str) -> str:
    """The version that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError as error:
        raise EnvironmentTrouble(f"{distribution} is not installed: pip install {distribution}") from error
