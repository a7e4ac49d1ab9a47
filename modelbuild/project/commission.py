"""What is asked of the stages for one artifact, and what their answers mean to a checkout."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from modelbuild.stages import Errand, Shipment
from modelbuild.stages.names import BIN, LATENCY, PROOF, SUMMARY, XML

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modelbuild.plan import Artifact
    from modelbuild.project.entries import Entry, Measured
    from modelbuild.project.sources import Given
    from modelbuild.stages import Done, Job
    from modelbuild.store import Blob


class Commission:
    """``asked`` are the jobs to be answered before ``artifact`` is laid out in ``folder``.

    ``question`` is all that they depend on. What the device's own compiler makes of it goes to ``compiled_folder``.
    """

    def __init__(
        self, artifact: Artifact, asked: Sequence[Job], question: bytes, *, folder: Path, compiled_folder: Path
    ) -> None:
        self.artifact = artifact
        self.question = question
        self._asked = tuple(asked)
        self._folder = folder
        self._compiled_folder = compiled_folder

    @cached_property
    def errand(self) -> Errand:
        """All that is asked."""
        made = self.artifact
        shipments = [Shipment(made.package, made.files, self._folder)]
        if made.export is not None:
            shipments.append(Shipment(made.export, made.exported_files, self._compiled_folder))
        return Errand(self._asked, tuple(shipments), {SUMMARY: (made.describe, SUMMARY), **self._measurements})

    @cached_property
    def measuring(self) -> Errand:
        """What tells how good an artifact is that is not delivered."""
        return Errand((self.artifact.emit, *(job for job, _ in self._measurements.values())), (), self._measurements)

    def is_of(self, given: Given) -> bool:
        """Whether these are the files that it speaks of."""
        files = self.artifact.given
        return (files.source, files.reference, files.calibration, files.extensions) == given

    def rejected(self, done: Done) -> Measured:
        """Of what ``measuring`` gave."""
        return _measured(done, "emit")

    def delivered(self, done: Done) -> dict[str, Blob]:
        """What lies in the folder now, by name."""
        package = done.answers["package"].blobs
        return {name: package[output] for name, output in self.artifact.files.items()}

    def compiled(self, done: Done) -> dict[str, Blob]:
        """What lies in the other one."""
        files = self.artifact.exported_files
        return {name: done.answers["export"].blobs[output] for name, output in files.items()}

    def entry(self, done: Done) -> Entry:
        """What a report says of it."""
        from modelbuild import plan
        from modelbuild.project import entries

        model = self.artifact.model
        return entries.entry(
            self.artifact.variant,
            entries.source_of(model, plan.framework(model), self.artifact.given.source),
            self.delivered(done),
            _measured(done, "package"),
            compiled=self.compiled(done),
            summary=done.contents[SUMMARY],
            steps=done.steps,
        )

    @cached_property
    def _measurements(self) -> dict[str, tuple[Job, str]]:
        """What tells how good it is, as far as it is asked."""
        asked = {job.stage.name: job for job in self._asked}
        return {
            name: (asked[stage], name) for stage, name in (("prove", PROOF), ("measure", LATENCY)) if stage in asked
        }


def _measured(done: Done, stage: str) -> Measured:
    """``stage`` gave the two files of the IR."""
    from modelbuild.project.entries import Measured

    size = sum(done.answers[stage].blobs[name].size for name in (XML, BIN))
    return Measured(size, done.contents.get(PROOF), done.contents.get(LATENCY))
