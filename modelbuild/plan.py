"""What a manifest asks for, as jobs: models x targets x precisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from modelbuild import __version__
from modelbuild.fetch import FetchedFile
from modelbuild.manifest.model import Model, Variant
from modelbuild.passes.pipeline import DEFAULT
from modelbuild.stages import FileInput, Job, Stage
from modelbuild.stages.check import check
from modelbuild.stages.describe import describe
from modelbuild.stages.emit import emit
from modelbuild.stages.load import load
from modelbuild.stages.measure import measure
from modelbuild.stages.names import BIN, EXTENSION, GRAPH, IR, LATENCY, MODEL, ORIGIN, PLAIN, PROOF, PROVENANCE, XML
from modelbuild.stages.optimize import optimize
from modelbuild.stages.package import package
from modelbuild.stages.prove import prove
from modelbuild.stages.quantize import quantize
from modelbuild.stages.specialize import specialize
from modelbuild.stages.specs import plain_spec, plain_transform
from modelbuild.stages.transform import transform
from modelbuild.targets import Precision

MAKERS: Final = (load, optimize, transform, specialize, emit, package)
"""The stages that lead to what is delivered of any model; others only look at it."""


def makers(models: Iterable[Model]) -> tuple[Stage, ...]:
    """The stages that lead to what is delivered of these models."""
    is_calibrated = any(variant.precision.is_calibrated for model in models for variant in model.variants())
    return (*MAKERS, quantize) if is_calibrated else MAKERS


@dataclass(frozen=True, slots=True)
class Artifact:
    """One thing to build: ``package`` gives all that is delivered, ``emit`` the pair within it.

    ``prove`` holds it against its source, ``measure`` takes its time, ``check`` holds both against the manifest's
    limits if it sets any, and ``describe`` counts what it holds. ``rewrites`` are the jobs that have rules, in the
    order in which they run.
    """

    variant: Variant
    package: Job
    emit: Job
    prove: Job
    measure: Job
    check: Job | None
    describe: Job
    rewrites: tuple[Job, ...]
    sources: tuple[FetchedFile, ...]

    @property
    def files(self) -> dict[str, str]:
        """What is delivered: name in the folder -> output of the job ``package``."""
        return delivered_files(self.variant.model)


def delivered_files(model: str) -> dict[str, str]:
    return {f"{model}.xml": XML, f"{model}.bin": BIN, PROVENANCE: PROVENANCE}


def artifact(
    model: Model,
    variant: Variant,
    sources: Sequence[FetchedFile],
    reference: Sequence[FetchedFile] = (),
    calibration: Sequence[FetchedFile] = (),
    *,
    extensions: Sequence[FetchedFile] = (),
) -> Artifact:
    """The chain of jobs for one variant of a model whose source files are known, and those of its examples.

    ``extensions`` are known to all who read or write its graph.

    Jobs of several variants are equal as far as they ask the same: what they share is made once.
    """
    own, *further = sources
    files = {MODEL: FileInput(own.path), **{f"data:{f.name}": FileInput(f.path) for f in further}}
    roles = list(files)
    known = {f"{EXTENSION}{i}": FileInput(file.path) for i, file in enumerate(extensions)}
    specs = [plain_spec(spec) for spec in model.inputs]
    loaded = Job(
        load,
        model.id,
        {
            "framework": framework(model),
            "inputs": specs,
            "order": list(model.order),
            "batch": model.batch,
            "outputs": list(model.outputs),
            "files": roles,
        },
        {**files, **known},
    )
    aside: dict[str, Job | FileInput] = {**files, ORIGIN: loaded}
    optimizing = {"phases": list(DEFAULT), "files": roles}
    rewrites = [Job(optimize, model.id, optimizing, {GRAPH: loaded, **known}, aside)]
    if model.transform:
        asked = {"transform": plain_transform(model.transform), **optimizing}
        rewrites.append(Job(transform, model.id, asked, {GRAPH: rewrites[-1], **known}, aside))

    limits = variant.target.limits(static_shapes=model.static_shape)

    def made(precision: Precision, graph: Job, subject: str) -> tuple[Job, Job]:
        """``graph`` as a precision has it, less what was quantised before, and the pair that it is written as."""
        asked = {
            "precision": str(precision.of_reals),
            "limits": limits.plain(),
            "compression": model.compression.plain(precision),
            "rename": dict(model.rename),
            "files": roles,
        }
        specialized = Job(specialize, subject, asked, {GRAPH: graph, **known}, aside)
        return specialized, Job(emit, subject, {"name": model.id}, {GRAPH: specialized, **known}, aside)

    exact, plain = made(Precision.FP32, rewrites[-1], str(replace(variant, precision=Precision.FP32)))
    if variant.precision.is_calibrated:
        rewrites += [exact, _quantize(model, variant, {GRAPH: exact, IR: plain, **known}, aside, calibration)]
    specialized, emitted = made(variant.precision, rewrites[-1], str(variant))
    packaged = Job(
        package, str(variant), {"provenance": provenance(model, variant, sources, calibration)}, {IR: emitted}
    )
    proven = _prove(model, variant, {IR: emitted, **files}, reference)
    measured = _measure(model, variant, {IR: emitted, PROOF: proven}, plain)
    checked = _check(model, variant, {IR: emitted, PROOF: proven, LATENCY: measured})
    described = Job(describe, str(variant), {}, {GRAPH: specialized, **known}, aside)
    return Artifact(
        variant, packaged, emitted, proven, measured, checked, described, (*rewrites, specialized), tuple(sources)
    )


def _quantize(
    model: Model,
    variant: Variant,
    inputs: Mapping[str, Job | FileInput],
    aside: Mapping[str, Job | FileInput],
    calibration: Sequence[FetchedFile],
) -> Job:
    assert model.calibration is not None, "a manifest that asks for it says on which data"
    examples = {f"calibration:{file.name}": FileInput(file.path) for file in calibration}
    params = {
        "precision": str(variant.precision),
        "calibration": model.calibration.plain,
        "keep": model.compression.plain(variant.precision)["keep"],
        "examples": list(examples),
        "files": [role for role in aside if role != ORIGIN],
    }
    return Job(quantize, str(variant), params, {**inputs, **examples}, aside)


def _prove(
    model: Model, variant: Variant, inputs: Mapping[str, Job | FileInput], reference: Sequence[FetchedFile]
) -> Job:
    examples = {f"reference:{file.name}": FileInput(file.path) for file in reference}
    params = {
        "precision": str(variant.precision),
        "inputs": [plain_spec(spec) for spec in model.inputs],
        "reference": list(examples),
        "samples": model.reference.samples if model.reference is not None else 1,
        "extended": bool(model.extensions),
        "rename": dict(model.rename),
    }
    return Job(prove, str(variant), params, {**inputs, **examples})


def _measure(model: Model, variant: Variant, inputs: Mapping[str, Job], plain: Job) -> Job:
    """``plain`` is made only for a limit that speaks of it, and is what is measured itself where that is FP32."""
    in_turn = model.check is not None and model.check.max_latency_ratio is not None
    params = {"device": variant.target.device, "in_turn": in_turn}
    return Job(measure, str(variant), params, {**inputs, PLAIN: plain} if in_turn else inputs)


def _check(model: Model, variant: Variant, inputs: Mapping[str, Job]) -> Job | None:
    """The job reads only what the limits speak of: a size is known without running anything."""
    if model.check is None:
        return None
    needs = {PROOF: not model.check.tolerance.is_empty, LATENCY: model.check.max_latency_ratio is not None}
    params = {
        "variant": str(variant),
        "limits": model.check.plain,
        "needs_proof": needs[PROOF],
        "needs_latency": needs[LATENCY],
    }
    return Job(check, str(variant), params, {role: job for role, job in inputs.items() if needs.get(role, True)})


def framework(model: Model) -> str:
    """ONNX is the only framework so far; it is seen from the file where the manifest does not say."""
    return model.framework or "onnx"


def provenance(
    model: Model, variant: Variant, sources: Sequence[FetchedFile], calibration: Sequence[FetchedFile] = ()
) -> Mapping[str, Any]:
    """Where an artifact comes from, as plain data: no time, no path of this machine."""
    limits = variant.target.limits(static_shapes=model.static_shape)
    data = [{"name": f.name, "sha256": f.sha256} for f in calibration]
    how = model.calibration if variant.precision.is_calibrated else None
    return {
        "model": model.id,
        "target": str(variant.target),
        "device": variant.target.device,
        "precision": str(variant.precision),
        "framework": framework(model),
        "source": str(model.source),
        "sources": [{"name": f.name, "sha256": f.sha256} for f in sources],
        "options": {
            "inputs": [plain_spec(spec) for spec in model.inputs],
            "order": list(model.order),
            "batch": model.batch,
            "outputs": list(model.outputs),
            "phases": list(DEFAULT),
            "transform": plain_transform(model.transform) if model.transform else None,
            "rename": dict(model.rename),
            "static_shapes": limits.static_shapes,
            "runtime": limits.runtime,
            "compression": model.compression.plain(variant.precision),
            **({} if how is None else {"calibration": {**how.plain, "data": data}}),
        },
        "license": model.license,
        "tags": list(model.tags),
        "tools": {"modelbuild": __version__},
    }
