"""All that the keys of an artifact depend on, as one digest: nothing is planned while that stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from modelbuild import __version__, digest
from modelbuild.stages.key import version_of
from modelbuild.stages.machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelbuild.digest import Digest
    from modelbuild.fetch import FetchedFile
    from modelbuild.manifest import Manifest, Variant
    from modelbuild.stages.key import Code


class Questions:
    """``code`` and ``versions`` are names of packages, words apart by spaces."""

    def __init__(self, manifest: Manifest, code: Code) -> None:
        self._manifest = manifest
        self._code = code
        self._models: dict[str, Digest] = {}
        self._environments: dict[tuple[str, str], Digest] = {}

    def of(self, variant: Variant, files: Iterable[FetchedFile], code: str, versions: str) -> Digest:
        """``files`` are those that are read for the variant, in an order of their own."""
        held = "".join([f"{file.sha256} {file.name}\n" for file in files])
        place = machine(variant.target.device) if variant.target.compiled else ""
        asked = f"{self._environment(code, versions)} {self._model(variant.model)} {variant!r} {place}\n{held}"
        return digest.of_bytes(asked.encode())

    def _model(self, name: str) -> Digest:
        """Of what the manifest says of a model, wherever it says it."""
        if name not in self._models:
            said = repr(replace(self._manifest.models[name], place=""))
            self._models[name] = digest.of_bytes(said.encode())
        return self._models[name]

    def _environment(self, code: str, versions: str) -> Digest:
        """Of everything but the manifest and the sources; nearly always the same for all artifacts."""
        if (code, versions) not in self._environments:
            self._environments[code, versions] = digest.of_data(
                {
                    "code": {module: self._code.of_module(module) for module in code.split()},
                    "versions": {name: version_of(name) for name in versions.split()},
                    "modelbuild": __version__,
                }
            )
        return self._environments[code, versions]
