"""What is said of an input as plain data, which is what keys are made of."""

from __future__ import annotations

from typing import Any

from modelbuild.manifest.model import Bound, InputSpec
from modelbuild.tensor.dtype import ElementType


def plain_spec(spec: InputSpec) -> dict[str, Any]:
    """An input's specification as plain data for a key."""
    return {
        "name": spec.name,
        "shape": None
        if spec.shape is None
        else [[d.lower, d.upper] if isinstance(d, Bound) else d for d in spec.shape],
        "layout": spec.layout,
        "type": spec.type,
        "target_layout": spec.target_layout,
        "reverse_channels": spec.reverse_channels,
        "mean": list(spec.mean),
        "scale": list(spec.scale),
        "value": None if spec.value is None else list(spec.value),
    }


def read_spec(plain: dict[str, Any]) -> InputSpec:
    """The specification of plain data."""
    shape, value = plain["shape"], plain["value"]
    return InputSpec(
        plain["name"],
        None if shape is None else tuple(Bound(*d) if isinstance(d, list) else d for d in shape),
        plain["layout"],
        None if plain["type"] is None else ElementType(plain["type"]),
        plain["target_layout"],
        plain["reverse_channels"],
        tuple(plain["mean"]),
        tuple(plain["scale"]),
        None if value is None else tuple(value),
    )
