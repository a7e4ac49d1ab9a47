"""What is said of inputs and of the whole model as plain data, which is what keys are made of."""

from __future__ import annotations

from typing import Any

from modelbuild.manifest.model import Bound, InputSpec, LowLatency2, Transform
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


def plain_transform(transform: Transform) -> dict[str, Any]:
    """What is done to a model as plain data for a key."""
    low_latency2 = transform.low_latency2
    return {
        "low_latency2": None if low_latency2 is None else {"use_const_initializer": low_latency2.use_const_initializer},
        "make_stateful": [list(pair) for pair in transform.make_stateful],
        "pruning": transform.pruning,
    }


def read_transform(plain: dict[str, Any]) -> Transform:
    """The transform of plain data."""
    low_latency2 = plain["low_latency2"]
    return Transform(
        None if low_latency2 is None else LowLatency2(**low_latency2),
        tuple((into, out) for into, out in plain["make_stateful"]),
        plain["pruning"],
    )
