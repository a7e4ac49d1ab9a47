"""Where an artifact comes from, as it is told to whoever gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelbuild import __version__
from modelbuild.fetch import GivenFiles
from modelbuild.manifest.model import Model, Variant
from modelbuild.passes.pipeline import DEFAULT
from modelbuild.stages.specs import plain_spec, plain_transform


def provenance(model: Model, variant: Variant, files: GivenFiles) -> Mapping[str, Any]:
    """Plain data: no time, no path of this machine."""
    return {
        "model": model.id,
        "target": str(variant.target),
        "device": variant.target.device,
        "precision": str(variant.precision),
        "framework": model.source_framework,
        "source": str(model.source),
        "sources": [{"name": f.name, "sha256": f.sha256} for f in files.source],
        "options": _options(model, variant, files),
        "license": model.license,
        "tags": list(model.tags),
        "tools": {"modelbuild": __version__},
    }


def _options(model: Model, variant: Variant, files: GivenFiles) -> dict[str, Any]:
    limits = variant.target.limits(static_shapes=model.static_shape)
    options = {
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
    }
    if variant.precision.is_calibrated and model.calibration is not None:
        data = [{"name": f.name, "sha256": f.sha256} for f in files.calibration]
        options["calibration"] = {**model.calibration.plain, "data": data}
    return options
