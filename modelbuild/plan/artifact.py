"""The jobs of one artifact: a chain that makes it, and those that look at what was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from modelbuild.fetch import FetchedFile, GivenFiles
from modelbuild.manifest.model import Model, Variant
from modelbuild.passes.pipeline import DEFAULT
from modelbuild.plan.provenance import provenance
from modelbuild.stages import FileInput, Job
from modelbuild.stages.check import check
from modelbuild.stages.describe import describe
from modelbuild.stages.emit import emit
from modelbuild.stages.export import export
from modelbuild.stages.job import Source
from modelbuild.stages.load import load
from modelbuild.stages.machine import machine
from modelbuild.stages.measure import measure
from modelbuild.stages.names import BLOB, GRAPH, IR, LATENCY, MODEL, ORIGIN, PLAIN, PROOF, PROVENANCE, delivered
from modelbuild.stages.optimize import optimize
from modelbuild.stages.package import package
from modelbuild.stages.prove import prove
from modelbuild.stages.quantize import quantize
from modelbuild.stages.specialize import specialize
from modelbuild.stages.specs import plain_spec, plain_transform
from modelbuild.stages.transform import transform
from modelbuild.targets import Precision


@dataclass(frozen=True)
class Artifact:
    """One thing to build, each of its jobs under the name of its stage.

    Jobs of several artifacts are equal as far as they ask the same: what they share is made once.
    """

    model: Model
    variant: Variant
    given: GivenFiles

    @property
    def files(self) -> dict[str, str]:
        """What is delivered: name in the folder -> output of the job ``package``."""
        return delivered(self.variant.model)

    # ---- what makes it ----

    @cached_property
    def load(self) -> Job:
        asked = {
            "framework": self.model.source_framework,
            "inputs": self._inputs,
            "order": list(self.model.order),
            "batch": self.model.batch,
            "outputs": list(self.model.outputs),
            "files": list(self._source),
        }
        return Job(load, self.model.id, asked, {**self._source, **self._extensions})

    @cached_property
    def rewrites(self) -> tuple[Job, ...]:
        """The jobs that have rules, in the order in which they run."""
        if self.variant.precision.is_calibrated:
            return (*self._of_model, self._exact, self.quantize, self.specialize)
        return (*self._of_model, self.specialize)

    @cached_property
    def quantize(self) -> Job:
        assert self.model.calibration is not None, "a manifest that asks for it says on which data"
        examples = _by_role("calibration:", self.given.calibration)
        asked = {
            "precision": str(self.variant.precision),
            "calibration": self.model.calibration.plain,
            "keep": self.model.compression.plain(self.variant.precision)["keep"],
            "examples": list(examples),
            "files": list(self._source),
        }
        inputs: dict[str, Source] = {GRAPH: self._exact, IR: self._plain, **self._extensions, **examples}
        return Job(quantize, str(self.variant), asked, inputs, self._aside)

    @cached_property
    def specialize(self) -> Job:
        before = self.quantize if self.variant.precision.is_calibrated else self._of_model[-1]
        return self._specialized(before, self.variant.precision, str(self.variant))

    @cached_property
    def emit(self) -> Job:
        """The pair of files within what is delivered."""
        return self._emitted(self.specialize)

    @cached_property
    def package(self) -> Job:
        """All that is delivered."""
        asked = {"provenance": provenance(self.model, self.variant, self.given)}
        return Job(package, str(self.variant), asked, {IR: self.emit})

    @cached_property
    def export(self) -> Job | None:
        """What the target's device makes of it, if that is asked for."""
        if not self.variant.target.compiled:
            return None
        asked = {
            "device": self.variant.target.device,
            "machine": machine(self.variant.target.device),
            "name": self.variant.model,
            "provenance": provenance(self.model, self.variant, self.given),
        }
        return Job(export, str(self.variant), asked, {IR: self.emit})

    @property
    def exported_files(self) -> dict[str, str]:
        """What is delivered of that, in a folder of its own: name -> output of the job ``export``."""
        return {f"{self.variant.model}.blob": BLOB, PROVENANCE: PROVENANCE} if self.export is not None else {}

    # ---- what looks at it ----

    @cached_property
    def prove(self) -> Job:
        """Holds it against its source."""
        examples = _by_role("reference:", self.given.reference)
        asked = {
            "precision": str(self.variant.precision),
            "inputs": self._inputs,
            "reference": list(examples),
            "samples": self.model.reference.samples if self.model.reference is not None else 1,
            "extended": bool(self.model.extensions),
            "rename": dict(self.model.rename),
            "top1_axis": self.model.check.top1_axis if self.model.check is not None else None,
        }
        return Job(prove, str(self.variant), asked, {IR: self.emit, **self._source, **examples})

    @cached_property
    def measure(self) -> Job:
        """Takes its time; and that of the same in FP32 only for a limit that speaks of it."""
        in_turn = self.model.check is not None and self.model.check.max_latency_ratio is not None
        inputs = {IR: self.emit, PROOF: self.prove, **({PLAIN: self._plain} if in_turn else {})}
        return Job(measure, str(self.variant), {"device": self.variant.target.device, "in_turn": in_turn}, inputs)

    @cached_property
    def check(self) -> Job | None:
        """Holds proof and time against the manifest's limits, if it sets any.

        It reads only what the limits speak of: a size is known without running anything.
        """
        limits = self.model.check
        if limits is None:
            return None
        proof, latency = not limits.tolerance.is_empty, limits.max_latency_ratio is not None
        asked = {
            "limits": limits.plain,
            "needs_proof": proof,
            "needs_latency": latency,
        }
        inputs = {IR: self.emit}
        if proof:
            inputs[PROOF] = self.prove
        if latency:
            inputs[LATENCY] = self.measure
        return Job(check, str(self.variant), asked, inputs)

    @cached_property
    def describe(self) -> Job:
        """Counts what it holds."""
        return Job(describe, str(self.variant), {}, {GRAPH: self.specialize, **self._extensions}, self._aside)

    # ---- what several of them share ----

    @cached_property
    def _inputs(self) -> list[dict[str, Any]]:
        return [plain_spec(spec) for spec in self.model.inputs]

    @cached_property
    def _source(self) -> dict[str, FileInput]:
        own, *further = self.given.source
        return {MODEL: FileInput(own.path, own.sha256), **_by_role("data:", further)}

    @cached_property
    def _extensions(self) -> dict[str, FileInput]:
        """Known to all who read or write the graph."""
        return {role: FileInput(file.path, file.sha256) for role, file in self.given.extensions.items()}

    @cached_property
    def _aside(self) -> Mapping[str, Source]:
        return {**self._source, ORIGIN: self.load}

    @cached_property
    def _of_model(self) -> tuple[Job, ...]:
        """The graph of the model, which no target or precision has a say in."""
        asked: dict[str, Any] = {"phases": list(DEFAULT), "files": list(self._source)}
        optimized = Job(optimize, self.model.id, asked, {GRAPH: self.load, **self._extensions}, self._aside)
        if not self.model.transform:
            return (optimized,)
        asked = {"transform": plain_transform(self.model.transform), **asked}
        return optimized, Job(transform, self.model.id, asked, {GRAPH: optimized, **self._extensions}, self._aside)

    @cached_property
    def _exact(self) -> Job:
        """The graph in FP32: what activations are measured in, and latencies in turn with."""
        return self._specialized(
            self._of_model[-1], Precision.FP32, str(replace(self.variant, precision=Precision.FP32))
        )

    @cached_property
    def _plain(self) -> Job:
        return self._emitted(self._exact)

    def _specialized(self, graph: Job, precision: Precision, subject: str) -> Job:
        """``graph`` as a precision has it, less what was quantised before."""
        asked = {
            "precision": str(precision.of_reals),
            "limits": self.variant.target.limits(static_shapes=self.model.static_shape).plain(),
            "compression": self.model.compression.plain(precision),
            "rename": dict(self.model.rename),
            "files": list(self._source),
        }
        return Job(specialize, subject, asked, {GRAPH: graph, **self._extensions}, self._aside)

    def _emitted(self, graph: Job) -> Job:
        return Job(emit, graph.subject, {"name": self.model.id}, {GRAPH: graph, **self._extensions}, self._aside)


def _by_role(kind: str, files: Sequence[FetchedFile]) -> dict[str, FileInput]:
    return {f"{kind}{file.name}": FileInput(file.path, file.sha256) for file in files}
