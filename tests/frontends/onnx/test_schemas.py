"""Every handler's signature is its operator's schema.

A handler stands for the versions of an operator from its ``since`` up to the next handler's; its signature must be
what these versions have together: no attribute or input more, none less, and the same defaults.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import onnx.defs
import pytest

from modelbuild.frontends.handlers import Handler, Signature
from modelbuild.frontends.onnx import handlers as families
from modelbuild.frontends.onnx.handlers import FAMILIES
from modelbuild.frontends.onnx.registry import onnx as table

MICROSOFT = "com.microsoft"

OLDEST = 6
"""Operator sets before this one are not read."""

FOREIGN = {(name, 1) for name in (
    "Affine", "ImageScaler", "LayerNormalization", "ParametricSoftplus", "ScaledTanh", "SimplifiedLayerNormalization",
)}  # fmt: skip
"""What onnxruntime has in ONNX's own domain, and ONNX no schema for."""


def spans() -> list[tuple[str, str, int, int, Handler]]:
    """Each handler of the standard domains with the versions ``since <= v < until`` that it stands for."""
    entries = list(table)
    found = []
    for i, (domain, name, since, handler) in enumerate(entries):
        following = entries[i + 1] if i + 1 < len(entries) else None
        until = following[2] if following and following[:2] == (domain, name) else 10_000
        if domain in {"", "ai.onnx.ml"} and (name, since) not in FOREIGN:
            found.append((domain, name, since, until, handler))
    return found


def versions(domain: str, name: str) -> dict[int, Any]:
    """The schemas of an operator that are current in some operator set that is read."""
    known = {
        s.since_version: s for s in onnx.defs.get_all_schemas_with_history() if (s.domain, s.name) == (domain, name)
    }
    oldest = max((v for v in known if v <= OLDEST), default=0)
    return {v: s for v, s in known.items() if v >= oldest or domain}


def covered(domain: str, name: str, since: int, until: int) -> list[Any]:
    known = versions(domain, name)
    current = max((v for v in known if v <= since), default=None)
    return [s for v, s in sorted(known.items()) if v == current or since <= v < until]


@pytest.mark.parametrize(
    ("domain", "name", "since", "until", "handler"), spans(), ids=lambda v: v if isinstance(v, str | int) else ""
)
def test_signature_is_the_schema(domain: str, name: str, since: int, until: int, handler: Handler) -> None:
    schemas = covered(domain, name, since, until)
    assert schemas, f"ONNX has no {name} that is current at {since}"
    signature = Signature.of(handler)
    most = max(s.max_input for s in schemas)
    assert signature.most == (None if most > 1000 else most)
    assert signature.least == min(s.min_input for s in schemas)
    assert set(signature.attributes) == {a for s in schemas for a in s.attributes} - {"consumed_inputs"}
    for attribute, parameter in keywords(handler).items():
        for schema in schemas:
            if attribute in schema.attributes:
                check_default(attribute, schema.attributes[attribute], parameter, alone=len(schemas) == 1)


def keywords(handler: Handler) -> dict[str, inspect.Parameter]:
    return {n: p for n, p in inspect.signature(handler).parameters.items() if p.kind is p.KEYWORD_ONLY}


def check_default(name: str, declared: Any, parameter: inspect.Parameter, *, alone: bool) -> None:
    if declared.required:
        assert parameter.default is parameter.empty or not alone, f"{name} is required"
        return
    assert parameter.default is not parameter.empty, f"{name} may be left out"
    if declared.default_value.type:
        expected = onnx.helper.get_attribute_value(declared.default_value)
        expected = _text(expected)
        if isinstance(expected, float):
            assert math.isclose(parameter.default, expected, rel_tol=1e-6), name
        else:
            assert parameter.default == (tuple(map(_text, expected)) if isinstance(expected, list) else expected), name


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


OFFICIAL_ALONE = {"SimplifiedLayerNormalization"}
"""What is written in onnxruntime's domain, and onnxruntime has in ONNX's only."""


@cache
def of_onnxruntime() -> dict[str, Any]:
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    return {s.name: s for s in get_all_operator_schema() if s.domain == MICROSOFT}


@pytest.mark.parametrize(
    ("name", "handler"), [(n, h) for domain, n, _, h in table if domain == MICROSOFT and n not in OFFICIAL_ALONE]
)
def test_signature_is_the_schema_of_onnxruntime(name: str, handler: Handler) -> None:
    schema, signature = of_onnxruntime()[name], Signature.of(handler)
    assert (signature.least, signature.most or schema.max_input) == (schema.min_input, schema.max_input)
    assert set(signature.attributes) == set(schema.attributes)
    assert signature.required == {n for n, attribute in schema.attributes.items() if attribute.required}


def test_no_version_of_a_known_operator_is_forgotten() -> None:
    """An operator that has a handler has one for all its versions that are read."""
    since: dict[tuple[str, str], int] = {}
    for domain, name, first, _, _ in spans():
        since[domain, name] = min(first, since.get((domain, name), first))
    late = {k: v for k, v in since.items() if v > max(OLDEST, min(versions(*k), default=0))}
    assert not late, f"older versions have no handler: {late}"


def test_every_file_of_handlers_is_a_family() -> None:
    folder = Path(families.__file__).parent
    files = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py") if path.stem != "__init__"]
    assert sorted(FAMILIES) == sorted(".".join(file.parts) for file in files)


def test_all_versions_of_an_operator_are_of_one_family() -> None:
    """Families are read until an operator is found: a version in a later one would be overlooked."""
    homes: dict[tuple[str, str], set[str]] = {}
    for domain, name, _, handler in table:
        homes.setdefault((domain, name), set()).add(registered_in(handler))
    assert {k: v for k, v in homes.items() if len(v) > 1} == {}


def registered_in(handler: Handler) -> str:
    return handler.__module__
