"""A job: one stage for one subject, and where its inputs come from. Plain data that crosses processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from modelbuild.stages.stage import Params, Stage, stage_at


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file from outside the store, read where it lies. Its content enters keys, its place does not."""

    path: Path


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

    def files(self) -> Iterator[Path]:
        """The files from outside that this job reads itself."""
        return (source.path for source in self.sources.values() if isinstance(source, FileInput))

    def plain(self, numbers: Mapping[Job, int]) -> dict[str, Any]:
        """``numbers`` stand for the jobs that this one reads."""

        def said(sources: Mapping[str, Source]) -> dict[str, str | int]:
            return {
                role: str(source.path.absolute()) if isinstance(source, FileInput) else numbers[source]
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
            for source in job.sources.values():
                if isinstance(source, Job):
                    put(source)
            found[job] = None

    for job in jobs:
        put(job)
    return tuple(found)


def jobs_of(table: Iterable[Mapping[str, Any]]) -> list[Job]:
    """The jobs that `Job.plain` says, numbered as they come."""
    jobs: list[Job] = []

    def made(sources: Mapping[str, str | int]) -> dict[str, Source]:
        return {
            role: FileInput(Path(source)) if isinstance(source, str) else jobs[source]
            for role, source in sources.items()
        }

    for said in table:
        inputs, aside = made(said["inputs"]), made(said["aside"])
        jobs.append(Job(stage_at(said["stage"]), said["subject"], said["params"], inputs, aside))
    return jobs
