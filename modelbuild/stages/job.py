"""A job: one stage for one subject, and where its inputs come from. Plain data that crosses processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

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
    def before(self) -> Iterator[Job]:
        """The jobs that this one reads."""
        return (source for source in self.sources.values() if isinstance(source, Job))

    def files(self) -> Iterator[Path]:
        """The files from outside that this job reads itself."""
        return (source.path for source in self.sources.values() if isinstance(source, FileInput))

    def plain(self, numbers: Mapping[Job, int]) -> dict[str, Any]:
        """``numbers`` stand for the jobs that this one reads."""

        def said(sources: Mapping[str, Source]) -> dict[str, int | tuple[str, Digest | None]]:
            return {
                role: (str(source.path.absolute()), source.sha256) if isinstance(source, FileInput) else numbers[source]
                for role, source in sources.items()
            }

        return {
            "stage": self.stage.address,
            "subject": self.subject,
            "params": dict(self.params),
            "inputs": said(self.inputs),
            "aside": said(self.aside),
        }


Source: TypeAlias = Job | FileInput


def table_of(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """``jobs`` and all before them, each once, behind those that it reads."""
    found: dict[Job, None] = {}

    def put(job: Job) -> None:
        if job not in found:
            for earlier in job.before:
                put(earlier)
            found[job] = None

    for job in jobs:
        put(job)
    return tuple(found)


def jobs_of(table: Iterable[Mapping[str, Any]]) -> list[Job]:
    """The jobs that `Job.plain` says, numbered as they come."""
    jobs: list[Job] = []

    def made(sources: Mapping[str, int | tuple[str, Digest | None]]) -> dict[str, Source]:
        return {
            role: jobs[source] if isinstance(source, int) else FileInput(Path(source[0]), source[1])
            for role, source in sources.items()
        }

    for said in table:
        inputs, aside = made(said["inputs"]), made(said["aside"])
        jobs.append(Job(stage_at(said["stage"]), said["subject"], said["params"], inputs, aside))
    return jobs
