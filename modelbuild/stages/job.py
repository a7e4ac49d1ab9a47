"""A job: one stage for one subject, and where its inputs come from. Plain data that crosses processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from modelbuild.digest import Digest
from modelbuild.stages.stage import Params, Stage, stage_at


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file from outside the store, read where it lies. Its content enters keys, its place does not.

    Where ``sha256`` is given, whoever asks speaks of that content: with any other, nothing is made.
    """

    path: Path
    sha256: Digest | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """``stage`` asked of ``subject`` (``resnet50``, ``resnet50@cpu:FP16``), which is a label and enters no key.

    ``params`` is plain data with every default spelled out. ``inputs`` go by role: the results of another job or a
    file, and the role is all that the stage knows of where they come from. ``aside`` are further inputs that enter no
    key, because all that may be read of them is named by content digest in the inputs (the weights of a graph).
    """

    stage: Stage
    subject: str
    params: Params = field(default_factory=dict, hash=False)
    inputs: Mapping[str, Source] = field(default_factory=dict, hash=False)
    aside: Mapping[str, Source] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.stage.name} of {self.subject}"

    @property
    def sources(self) -> dict[str, Source]:
        return {**self.inputs, **self.aside}

    @property
    def before(self) -> list[Job]:
        """The jobs that this one reads."""
        return [source for source in self.sources.values() if isinstance(source, Job)]

    def plain(self, numbers: Mapping[int, int]) -> dict[str, Any]:
        """``numbers`` stand for what this one reads, by its identity."""
        return {
            "stage": self.stage.address,
            "subject": self.subject,
            "params": dict(self.params),
            "inputs": {role: numbers[id(source)] for role, source in self.inputs.items()},
            "aside": {role: numbers[id(source)] for role, source in self.aside.items()},
        }


Source: TypeAlias = Job | FileInput


class Reach(NamedTuple):
    """Some jobs and all before them, each behind those that it reads; and the files that they read.

    Each object is there once, which is quicker to see than which of them are equal.
    """

    jobs: tuple[Job, ...]
    files: tuple[FileInput, ...]


def reach_of(jobs: Iterable[Job]) -> Reach:
    found: dict[int, Source] = {}

    def put(source: Source) -> None:
        if isinstance(source, Job):
            for earlier in source.sources.values():
                if id(earlier) not in found:
                    put(earlier)
        found[id(source)] = source

    for job in jobs:
        put(job)
    every = found.values()
    return Reach(
        tuple([source for source in every if isinstance(source, Job)]),
        tuple([source for source in every if isinstance(source, FileInput)]),
    )


def jobs_of(files: Sequence[FileInput], said: Iterable[Mapping[str, Any]]) -> list[Job]:
    """The jobs that `Job.plain` says: numbered as they come, and ``~0``, ``~1`` and so on are the ``files``."""
    jobs: list[Job] = []
    for one in said:
        inputs, aside = (
            {role: jobs[number] if number >= 0 else files[~number] for role, number in one[kind].items()}
            for kind in ("inputs", "aside")
        )
        jobs.append(Job(stage_at(one["stage"]), one["subject"], one["params"], inputs, aside))
    return jobs
