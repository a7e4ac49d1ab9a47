"""What is asked of the stages for one artifact, and what their answers mean to a checkout."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from modelbuild.project import delivery
from modelbuild.stages import Errand, Shipment
from modelbuild.stages.names import BIN, LATENCY, PROOF, SUMMARY, XML

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modelbuild.fetch import GivenFiles
    from modelbuild.manifest import Manifest, Variant
    from modelbuild.plan import Artifact
    from modelbuild.project.entries import Entry, Measured
    from modelbuild.project.judging import Judges
    from modelbuild.project.question import Questions
    from modelbuild.stages import Done, Job
    from modelbuild.store import Blob


class Commission:
    """``asked`` are the jobs to be answered before ``artifact`` is laid out below ``output``.

    ``question`` is all that they depend on.
    """

    def __init__(self, artifact: Artifact, asked: Sequence[Job], question: bytes, output: Path) -> None:
        self.artifact = artifact
        self.question = question
        self._asked = tuple(asked)
        self._output = output

    @cached_property
    def errand(self) -> Errand:
        """All that is asked."""
        made = self.artifact
        shipments = [Shipment(made.package, made.files, self._output / delivery.place(made.variant))]
        if made.export is not None:
            folder = self._output / delivery.compiled_place(made.variant)
            shipments.append(Shipment(made.export, made.exported_files, folder))
        return Errand(self._asked, tuple(shipments), {SUMMARY: (made.describe, SUMMARY), **self._measurements})

    @cached_property
    def measuring(self) -> Errand:
        """What tells how good an artifact is that is not delivered."""
        return Errand((self.artifact.emit, *(job for job, _ in self._measurements.values())), (), self._measurements)

    def is_of(self, given: GivenFiles) -> bool:
        """Whether these are the files that it speaks of."""
        return self.artifact.given == given

    def rejected(self, done: Done) -> Measured:
        """Of what ``measuring`` gave."""
        return _measured(done, self.artifact.emit)

    def delivered(self, done: Done) -> dict[str, Blob]:
        """What lies in the folder now, by name."""
        package = done.of(self.artifact.package).blobs
        return {name: package[output] for name, output in self.artifact.files.items()}

    def compiled(self, done: Done) -> dict[str, Blob]:
        """What lies in the other one."""
        if self.artifact.export is None:
            return {}
        exported = done.of(self.artifact.export).blobs
        return {name: exported[output] for name, output in self.artifact.exported_files.items()}

    def entry(self, done: Done) -> Entry:
        """What a report says of it."""
        from modelbuild.project import entries

        model = self.artifact.model
        return entries.entry(
            self.artifact.variant,
            entries.source_of(model, self.artifact.given.source),
            self.delivered(done),
            _measured(done, self.artifact.package),
            compiled=self.compiled(done),
            summary=done.contents[SUMMARY],
            steps=done.steps,
        )

    @cached_property
    def _measurements(self) -> dict[str, tuple[Job, str]]:
        """What tells how good it is, as far as it is asked."""
        from modelbuild.stages.measure import measure
        from modelbuild.stages.prove import prove

        given = {prove: PROOF, measure: LATENCY}
        return {name: (job, name) for job in self._asked if (name := given.get(job.stage)) is not None}


class Commissions:
    """What becomes of files, for each variant of a manifest: as a question, as jobs, as all that is asked."""

    def __init__(self, manifest: Manifest, questions: Questions, judges: Judges, output: Path) -> None:
        self._manifest = manifest
        self._questions = questions
        self._judges = judges
        self._output = output

    def question(self, variant: Variant, given: GivenFiles) -> bytes:
        """All that the answers depend on."""
        return self._questions.of_artifact(variant, given.every, proved=self._judges.can_prove)

    def artifact(self, variant: Variant, given: GivenFiles) -> Artifact:
        from modelbuild import plan

        return plan.Artifact(self._manifest.models[variant.model], variant, given)

    def jobs(self, artifact: Artifact) -> tuple[Job, ...]:
        """All that is asked for it; what is delivered comes last."""
        return (*self._before_delivery(artifact), artifact.package)

    def answerable(self, variant: Variant, given: GivenFiles) -> Artifact:
        """Raises :class:`EnvironmentTrouble` where the manifest asks for what this machine cannot tell."""
        artifact = self.artifact(variant, given)
        self._judges.refuse_what_cannot_be_answered(artifact)
        return artifact

    def of(self, variant: Variant, question: bytes, given: GivenFiles) -> Commission:
        """``question`` is that of ``given``: what is made of these files answers it, whatever becomes of them.

        Raises as `answerable` does.
        """
        artifact = self.answerable(variant, given)
        return Commission(artifact, self._before_delivery(artifact), question, self._output)

    def _before_delivery(self, artifact: Artifact) -> tuple[Job, ...]:
        """Whatever runs an artifact comes first, so that one that fails is not delivered."""
        exported = (artifact.export,) if artifact.export is not None else ()
        return (*self._judges.jobs(artifact), *exported, artifact.describe)


def _measured(done: Done, job: Job) -> Measured:
    """``job`` gave the two files of the IR."""
    from modelbuild.project.entries import Measured

    size = sum(done.of(job).blobs[name].size for name in (XML, BIN))
    return Measured(size, done.contents.get(PROOF), done.contents.get(LATENCY))
