"""All that an artifact depends on, as one question: nothing is planned while that stays the same.

It asks for more than the keys of stages do, our whole code as it is written, so that it is asked quickly. Where only
that is other, stages are asked, and know.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

import msgspec

from modelbuild import digest
from modelbuild.digest import Digest
from modelbuild.stages.key import installed
from modelbuild.stages.machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelbuild.fetch import FetchedFile
    from modelbuild.manifest import Manifest, Variant
    from modelbuild.stages.key import Code
    from modelbuild.targets import Target

PACKAGES = ("ml_dtypes", "msgspec", "nncf", "numkong", "numpy", "onnx", "onnxruntime", "openvino", "pillow")
"""Those whose versions any stage names."""


class _OfArtifact(msgspec.Struct, frozen=True, tag="artifact", tag_field="stage"):
    environment: Digest
    model: Digest
    target: str
    precision: str
    machine: str
    proved: bool
    files: list[tuple[str, Digest]]


class _OfFile(msgspec.Struct, frozen=True, tag="files", tag_field="stage"):
    environment: Digest
    sha256: Digest


class _OfReport(msgspec.Struct, frozen=True, tag="report", tag_field="stage"):
    environment: Digest
    said: Digest


_ENCODE = msgspec.json.Encoder().encode


@cache
def _said(target: Target) -> str:
    return repr(target)


class Questions:
    """Each is JSON, and its sha256 a key like those of stages."""

    def __init__(self, manifest: Manifest, code: Code) -> None:
        self._manifest = manifest
        self._code = code
        self._models: dict[str, Digest] = {}

    def of_artifact(self, variant: Variant, files: Iterable[FetchedFile], *, proved: bool) -> bytes:
        """What becomes of ``files``, those that are read for the variant in an order of their own."""
        return _ENCODE(
            _OfArtifact(
                self._environment,
                self._model(variant.model),
                _said(variant.target),
                variant.precision,
                machine(variant.target.device) if variant.target.compiled else "",
                proved,
                [(file.name, file.sha256) for file in files],
            )
        )

    def of_file(self, sha256: Digest) -> bytes:
        """Which files a model names whose own file holds that."""
        return _ENCODE(_OfFile(self._environment, sha256))

    def of_report(self, said: Digest) -> bytes:
        """What a report makes of what is said."""
        return _ENCODE(_OfReport(self._environment, said))

    def _model(self, name: str) -> Digest:
        """Of what the manifest says of a model, wherever it says it."""
        if name not in self._models:
            said = repr(replace(self._manifest.models[name], place=""))
            self._models[name] = digest.of_bytes(said.encode())
        return self._models[name]

    @cached_property
    def _environment(self) -> Digest:
        """Of everything but the manifest and the sources."""
        return digest.of_data(
            {"code": self._code.as_written, "versions": {package: installed(package) for package in PACKAGES}}
        )
