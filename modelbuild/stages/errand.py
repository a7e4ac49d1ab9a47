"""All that is asked for one thing, done in one go by whoever has the build: here, or in a worker of a pool.

Plain data crosses to the worker and back, so that nobody but the worker has to read what it read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from modelbuild.digest import Digest
from modelbuild.stages.job import FileInput, Job, Reach, jobs_of, reach_of
from modelbuild.stages.reason import Reason, reason_of
from modelbuild.stages.stage import Stage
from modelbuild.store import Blob


class Shipment(NamedTuple):
    """``files`` (name there -> output of the job) are laid out in ``folder``, all or nothing."""

    job: Job
    files: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Errand:
    """``jobs`` are ensured in this order, then ``shipments`` laid out; the first that raises ends it.

    ``contents`` are outputs of those jobs to be read: by a name, the job and its output, a small text. No two of the
    jobs have one stage.
    """

    jobs: tuple[Job, ...]
    shipments: tuple[Shipment, ...] = ()
    contents: Mapping[str, tuple[Job, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.all_jobs[-1])

    @property
    def all_jobs(self) -> tuple[Job, ...]:
        return (*self.jobs, *(shipment.job for shipment in self.shipments))

    @cached_property
    def reach(self) -> Reach:
        """All that leads to the answers."""
        return reach_of(self.all_jobs)

    @cached_property
    def first(self) -> Job:
        """The one that is done before all others."""
        job = self.all_jobs[0]
        while before := job.before:
            job = before[0]
        return job

    @cached_property
    def size(self) -> int:
        """The bytes of all files that are read."""
        return sum(map(_size, {file.path for file in self.reach.files}))

    def memory(self) -> int:
        """The bytes that any of it may need at once."""
        return max(stage.memory(self.size) for stage in self.stages)

    @property
    def stages(self) -> set[Stage]:
        """All that may run."""
        return {job.stage for job in self.reach.jobs}


def plain_of(errands: Sequence[Errand]) -> dict[str, Any]:
    """Together: what they share is said once. Numbers stand for jobs and files, as `jobs_of` has them."""
    numbers: dict[int, int] = {}
    files: dict[FileInput, int] = {}
    jobs: dict[Job, int] = {}
    for errand in errands:
        for file in errand.reach.files:
            numbers[id(file)] = ~files.setdefault(file, len(files))
        for job in errand.reach.jobs:
            numbers[id(job)] = jobs.setdefault(job, len(jobs))
    return {
        "files": [[str(file.path.absolute()), file.sha256] for file in files],
        "jobs": [job.plain(numbers) for job in jobs],
        "errands": [
            {
                "jobs": [jobs[job] for job in errand.jobs],
                "shipments": [
                    [jobs[shipment.job], dict(shipment.files), str(shipment.folder.absolute())]
                    for shipment in errand.shipments
                ],
                "contents": {name: [jobs[job], output] for name, (job, output) in errand.contents.items()},
            }
            for errand in errands
        ],
    }


def errands_of(plain: Mapping[str, Any]) -> list[Errand]:
    """The inverse of `plain_of`."""
    jobs = jobs_of([FileInput(Path(path), sha256) for path, sha256 in plain["files"]], plain["jobs"])
    return [
        Errand(
            tuple([jobs[number] for number in said["jobs"]]),
            tuple([Shipment(jobs[number], files, Path(folder)) for number, files, folder in said["shipments"]]),
            {name: (jobs[number], output) for name, (number, output) in said["contents"].items()},
        )
        for said in plain["errands"]
    ]


class Said(NamedTuple):
    """The answer to a job: ``why`` it had to run, None if it was there; and its outputs."""

    key: Digest
    why: Reason | None
    blobs: Mapping[str, Blob]


class Step(NamedTuple):
    """A stage that led to an answer, and what it took when it ran."""

    stage: str
    seconds: float


class Done(NamedTuple):
    """``answers`` by stage, ``contents`` by the names that were given; ``steps`` in the order in which they ran."""

    answers: Mapping[str, Said]
    contents: Mapping[str, str]
    steps: tuple[Step, ...]

    def of(self, job: Job) -> Said:
        """The answer to ``job``, which was asked for."""
        return self.answers[job.stage.name]

    def plain(self) -> dict[str, Any]:
        return {
            "answers": {stage: _plain(said) for stage, said in self.answers.items()},
            "contents": dict(self.contents),
            "steps": self.steps,
        }


def done_of(plain: Mapping[str, Any]) -> Done:
    """The inverse of `Done.plain`."""
    return Done(
        {
            stage: Said(key, reason_of(why), {name: Blob(*blob) for name, blob in blobs.items()})
            for stage, (key, why, blobs) in plain["answers"].items()
        },
        plain["contents"],
        tuple(Step(*step) for step in plain["steps"]),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # whoever reads it meets that, and says it
        return 0


def _plain(said: Said) -> list[Any]:
    blobs = {name: [blob.sha256, blob.size, blob.xxh3] for name, blob in said.blobs.items()}
    return [said.key, said.why.plain() if said.why is not None else None, blobs]
