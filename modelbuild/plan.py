"""What a manifest asks for, as jobs: models x targets x precisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelbuild import __version__
from modelbuild.fetch import FetchedFile
from modelbuild.manifest.model import Model, Variant
from modelbuild.passes.pipeline import DEFAULT
from modelbuild.stages import FileInput, Job
from modelbuild.stages.describe import describe
from modelbuild.stages.emit import emit
from modelbuild.stages.load import load
from modelbuild.stages.names import BIN, GRAPH, IR, MODEL, ORIGIN, PROVENANCE, XML
from modelbuild.stages.optimize import optimize
from modelbuild.stages.package import package
from modelbuild.stages.prove import prove
from modelbuild.stages.specialize import specialize
from modelbuild.stages.specs import plain_spec, plain_transform
from modelbuild.stages.transform import transform

MAKERS: Final = (load, optimize, transform, specialize, emit, package)
"""The stages that lead to what is delivered; others only look at it."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One thing to build: ``package`` gives all that is delivered, ``emit`` the pair within it.

    ``prove`` holds it against its source, ``describe`` counts what it holds. ``rewrites`` are the jobs that have rules,
    in the order in which they run.
    """

    variant: Variant
    package: Job
    emit: Job
    prove: Job
    describe: Job
    rewrites: tuple[Job, ...]
    sources: tuple[FetchedFile, ...]

    @property
    def files(self) -> dict[str, str]:
        """What is delivered: name in the folder -> output of the job ``package``."""
        return delivered_files(self.variant.model)


def delivered_files(model: str) -> dict[str, str]:
    return {f"{model}.xml": XML, f"{model}.bin": BIN, PROVENANCE: PROVENANCE}


def artifact(model: Model, variant: Variant, sources: Sequence[FetchedFile]) -> Artifact:
    """The chain of jobs for one variant of a model whose source files are known.

    Jobs of several variants are equal as far as they ask the same: what they share is made once.
    """
    own, *further = sources
    files = {MODEL: FileInput(own.path), **{f"data:{f.name}": FileInput(f.path) for f in further}}
    roles = list(files)
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
        files,
    )
    aside: dict[str, Job | FileInput] = {**files, ORIGIN: loaded}
    optimizing = {"phases": list(DEFAULT), "files": roles}
    rewrites = [Job(optimize, model.id, optimizing, {GRAPH: loaded}, aside)]
    if model.transform:
        asked = {"transform": plain_transform(model.transform), **optimizing}
        rewrites.append(Job(transform, model.id, asked, {GRAPH: rewrites[-1]}, aside))
    static = model.static_shape or variant.target.static_shapes
    specialized = Job(
        specialize,
        str(variant),
        {"precision": str(variant.precision), "static_shapes": static, "files": roles},
        {GRAPH: rewrites[-1]},
        aside,
    )
    emitted = Job(emit, str(variant), {"name": model.id}, {GRAPH: specialized}, aside)
    packaged = Job(package, str(variant), {"provenance": provenance(model, variant, sources)}, {IR: emitted})
    proven = Job(prove, str(variant), {"precision": str(variant.precision), "inputs": specs}, {IR: emitted, **files})
    described = Job(describe, str(variant), {}, {GRAPH: specialized}, aside)
    return Artifact(variant, packaged, emitted, proven, described, (*rewrites, specialized), tuple(sources))


def framework(model: Model) -> str:
    """ONNX is the only framework so far; it is seen from the file where the manifest does not say."""
    return model.framework or "onnx"


def provenance(model: Model, variant: Variant, sources: Sequence[FetchedFile]) -> Mapping[str, Any]:
    """Where an artifact comes from, as plain data: no time, no path of this machine."""
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
            "static_shapes": model.static_shape or variant.target.static_shapes,
        },
        "license": model.license,
        "tags": list(model.tags),
        "tools": {"modelbuild": __version__},
    }
