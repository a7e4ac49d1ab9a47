"""The stages that lead to what is delivered; others only look at it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelbuild.manifest.model import Model
from modelbuild.stages import Stage
from modelbuild.stages.emit import emit
from modelbuild.stages.load import load
from modelbuild.stages.optimize import optimize
from modelbuild.stages.package import package
from modelbuild.stages.quantize import quantize
from modelbuild.stages.specialize import specialize
from modelbuild.stages.transform import transform

_OF_ANY_MODEL: Final = (load, optimize, transform, specialize, emit, package)


def makers(models: Iterable[Model]) -> tuple[Stage, ...]:
    """The stages that lead to what is delivered of these models."""
    is_calibrated = any(variant.precision.is_calibrated for model in models for variant in model.variants())
    return (*_OF_ANY_MODEL, quantize) if is_calibrated else _OF_ANY_MODEL
