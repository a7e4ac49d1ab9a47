"""A conversion's options as the entry of a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelbuild.manifest.model import Dim, InputSpec, Transform


def entry(
    name: str,
    path: str,
    specs: Sequence[InputSpec],
    *,
    order: Sequence[str],
    outputs: Sequence[str],
    batch: int | None,
    static_shape: bool,
    transform: Transform | None,
    extensions: Sequence[str],
    precision: str,
) -> str:
    """YAML; inputs that have an order are a list."""
    said = {spec.name: _fields(spec) for spec in specs}
    lines = ["models:", f"  {_id(name)}:", f"    source: {{path: {_text(path)}}}"]
    if said or order:
        lines.append("    inputs:")
    if order:
        lines += [f"      - {_mapping({'name': one, **said.get(one, {})})}" for one in order]
    else:
        lines += [f"      {_text(one)}: {_mapping(fields)}" for one, fields in said.items()]
    if outputs:
        lines.append(f"    outputs: {_text(list(outputs))}")
    if batch is not None:
        lines.append(f"    batch: {batch}")
    if static_shape:
        lines.append("    static_shape: true")
    if extensions:
        lines.append(f"    extensions: {_text(list(extensions))}")
    if transform:
        lines.append(f"    transform: {_mapping(_transform(transform))}")
    lines.append(f"    precisions: [{precision}]")
    return "\n".join(lines) + "\n"


def _fields(spec: InputSpec) -> dict[str, Any]:
    every = {
        "shape": None if spec.shape is None else [_dimension(dim) for dim in spec.shape],
        "layout": spec.layout,
        "target_layout": spec.target_layout,
        "type": None if spec.type is None else str(spec.type),
        "reverse_channels": spec.reverse_channels or None,
        "mean": _one_or_all(spec.mean),
        "scale": _one_or_all(spec.scale),
        "value": None if spec.value is None else _one_or_all(spec.value),
    }
    return {key: value for key, value in every.items() if value is not None}


def _transform(transform: Transform) -> dict[str, Any]:
    low_latency2 = transform.low_latency2
    every = {
        "low_latency2": low_latency2 and {"use_const_initializer": low_latency2.use_const_initializer},
        "make_stateful": dict(transform.make_stateful),
        "pruning": transform.pruning,
    }
    return {key: value for key, value in every.items() if value}


def _one_or_all(numbers: Sequence[Any]) -> Any:
    return (list(numbers) if len(numbers) > 1 else numbers[0]) if numbers else None


def _dimension(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else "?" if dim is None else str(dim)


def _mapping(fields: dict[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {_text(value)}' for key, value in fields.items())}}}"


def _text(value: Any) -> str:
    """JSON, which YAML understands; an exponent behind a point and with a sign, which all YAML understands."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_text(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{_joined(value)}]"
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)


def _joined(values: Iterable[Any]) -> str:
    return ", ".join(map(_text, values))


def _id(name: str) -> str:
    """A name that a manifest allows."""
    plain = re.sub(r"[^a-z0-9._-]", "-", name.lower()).lstrip("._-")[:100].rstrip(".")
    return _text(plain or "model")
