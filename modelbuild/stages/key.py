"""A key: all that an answer depends on, by name, and the digest of that."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

from modelbuild import digest
from modelbuild.digest import Digest, Plain
from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.memo import Memo, Signature, signature
from modelbuild.stages.job import Job
from modelbuild.stages.stage import Stage

KEY_FORMAT = 1
"""Raised when the meaning of fields changes: every key is another one then."""

_EXTRAS = {
    **dict.fromkeys(("nncf", "pillow"), "'modelbuild[nncf]'"),
    **dict.fromkeys(("onnxruntime", "openvino"), "'modelbuild[prove]'"),
}
"""What brings the distributions that not everybody needs."""

Given: TypeAlias = Digest | Mapping[str, Digest]
"""What a role brings in: the digest of a file, or those of a job's results by name."""


@dataclass(frozen=True, slots=True)
class Key:
    """``question`` is the JSON of all that the answer depends on: format, stage, code, params, versions, inputs."""

    question: bytes
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest.of_bytes(self.question))

    @property
    def fields(self) -> dict[str, Plain]:
        """The question, taken apart."""
        fields: dict[str, Plain] = json.loads(self.question)
        return fields


class Code:
    """The digests of our own code, taken once: what this process runs is what it found when it started.

    A file edited later is not in any digest, but a late import might read it: `changed` tells.
    """

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._digests: dict[str, Digest] = {}
        self._signatures: dict[str, dict[str, Signature]] = {}
        self._data: dict[str, dict[str, Signature]] = {}
        self._spelled: dict[Stage, tuple[bytes, bytes]] = {}
        self._imported: dict[Stage, int] = {}

    def spelled(self, stage: Stage) -> tuple[bytes, bytes]:
        """The JSON of `of` and of the versions: most of a key, and the same in all keys of a stage."""
        if stage not in self._spelled:
            versions: dict[str, Plain] = {name: version_of(name) for name in stage.versions}
            self._spelled[stage] = digest.canonical(self.of(stage)), digest.canonical(versions)
        return self._spelled[stage]

    def of(self, stage: Stage) -> dict[str, Plain]:
        return {module: self.of_module(module) for module in stage.code}

    def of_module(self, module: str) -> Digest:
        if module not in self._digests:
            seen = self._signatures[module] = _signatures(module)
            self._data[module] = {path: found for path, found in seen.items() if not path.endswith(".py")}
            self._digests[module] = digest.of_code(module, self._of_source)
        return self._digests[module]

    def changed(self, stage: Stage) -> list[str]:
        """The packages of ``stage`` with a file that was written since their digest was taken, and may have been read.

        Nobody reads the code of modules that are imported. There are a hundred, and a small stage takes no longer than
        looking at them: that is done again when there are more modules than last time.
        """
        imported = len(sys.modules)
        files = self._data if self._imported.get(stage) == imported else self._signatures
        self._imported[stage] = imported
        return [module for module in stage.code if _is_touched(files[module])]

    @cached_property
    def as_written(self) -> Digest:
        """Of all our code, comments too: quickly taken, and enough to know that nobody touched it."""
        return digest.of_code("modelbuild", self._memo.of)

    def _of_source(self, path: Path) -> Digest:
        return self._memo.of(path, digest.of_source)


def key_of(job: Job, code: Code, inputs: Mapping[str, Given]) -> Key:
    given: dict[str, Plain] = {role: one if isinstance(one, str) else dict(one) for role, one in inputs.items()}
    spelled_code, spelled_versions = code.spelled(job.stage)
    spelled = {  # what `digest.canonical` makes of all of it, in the order of the names
        "code": spelled_code,
        "format": b"%d" % KEY_FORMAT,
        "inputs": digest.canonical(given),
        "params": digest.canonical(dict(job.params)),
        "stage": digest.canonical(job.stage.name),
        "versions": spelled_versions,
    }
    return Key(b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), text) for name, text in spelled.items()))


def _signatures(module: str) -> dict[str, Signature]:
    return {str(path): signature(path) for path in digest.code_files(module)}


def _is_touched(signatures: Mapping[str, Signature]) -> bool:
    """Whether a file is another one now. One that is new is read by nobody unless another was edited to do so."""
    try:
        return any(signature(path) != before for path, before in signatures.items())
    except SourceError:  # it is gone
        return True


def version_of(distribution: str) -> str:
    """The version that is installed."""
    found = installed(distribution)
    if found is None:
        wanted = _EXTRAS.get(distribution, distribution)
        raise EnvironmentTrouble(f"{distribution} is not installed: pip install {wanted}")
    return found


@cache
def installed(distribution: str) -> str | None:
    """The version of that, if there is one."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
