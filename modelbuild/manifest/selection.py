"""Selectors: which variants a person means.

``MODEL``, ``MODEL@TARGET``, ``MODEL@TARGET:PRECISION``, ``MODEL:PRECISION``; ``tag:NAME`` stands where a model may;
each part may be a pattern such as ``ppocr_*``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from modelbuild.errors import UsageError
from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets import Precision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelbuild.manifest.model import Manifest, Model, Variant

_SELECTOR = re.compile(r"(?P<tag>tag:)?(?P<name>[^@:]+)(?:@(?P<target>[^@:]+))?(?::(?P<precision>[^@:]+))?")


_LISTED = 6


@dataclass(frozen=True, slots=True)
class Selector:
    """``text`` is what was written; the parts are patterns, ``precision`` in upper case."""

    text: str
    name: str
    by_tag: bool
    target: str
    precision: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        found = _SELECTOR.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{quote(text)} is not a selector: MODEL, MODEL@TARGET, MODEL@TARGET:PRECISION or tag:NAME"
            )
        target, precision = found["target"] or "*", (found["precision"] or "*").upper()
        return cls(text, found["name"], found["tag"] is not None, target, precision)

    def finds(self, model: Model) -> bool:
        return any(fnmatchcase(name, self.name) for name in (model.tags if self.by_tag else (model.id,)))

    def meets(self, variant: Variant) -> bool:
        return fnmatchcase(variant.target.name, self.target) and fnmatchcase(variant.precision, self.precision)


def select(selectors: Iterable[str], manifest: Manifest) -> tuple[Variant, ...]:
    """The variants that any selector means, all where there is none, in the manifest's order and each once.

    A selector that means nothing is a ``UsageError`` that says which part of it met nothing.
    """
    parsed = [Selector.parse(text) for text in selectors]
    if not parsed:
        return manifest.variants()
    meant = {variant for selector in parsed for variant in _variants(selector, manifest)}
    return tuple(variant for variant in manifest.variants() if variant in meant)


def _variants(selector: Selector, manifest: Manifest) -> list[Variant]:
    models = [model for model in manifest.models.values() if selector.finds(model)]
    built = [variant for model in models for variant in model.variants()]
    meant = [variant for variant in built if selector.meets(variant)]
    if not meant:
        raise UsageError(f"{quote(selector.text)}: {_why_nothing(selector, manifest, built)}")
    return meant


def _why_nothing(selector: Selector, manifest: Manifest, built: list[Variant]) -> str:
    """The first part of the selector that meets nothing; ``built`` are the variants of the models that it finds."""
    if not built and selector.by_tag:
        tags = {tag for model in manifest.models.values() for tag in model.tags}
        return f"no model has the tag {quote(selector.name)}{did_you_mean(selector.name, tags)}"
    if not built:
        return f"no model {quote(selector.name)}{did_you_mean(selector.name, manifest.models)}"
    targets = {variant.target.name for variant in built}
    if not any(fnmatchcase(name, selector.target) for name in targets):
        return f"not built for {quote(selector.target)}{did_you_mean(selector.target, targets)}"
    if not any(fnmatchcase(name, selector.precision) for name in Precision):
        return f"unknown precision {quote(selector.precision)}{did_you_mean(selector.precision, Precision)}"
    listed = ", ".join(map(str, built[:_LISTED])) + (", …" if len(built) > _LISTED else "")
    return f"not asked for in {manifest.files[0].name}; there is {listed}"
