"""``index.json``, the first file of a bundle: what else is in it, and where that comes from.

Nothing in it depends on when or where a bundle was packed, nor on whether the artifacts could be proved there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from modelbuild.report.document import File, Source

FORMAT: Literal[1] = 1
NAME: Final = "index.json"
SHIPPED = Path(__file__).with_name("bundle.schema.json")

_COMPILED = "the folder of a .blob for such machines and runtimes as its provenance.json names; null if none is packed"


class Artifact(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model for one target in one precision: an .xml, its .bin and their provenance.json in 'folder'."""

    model: str
    target: str
    device: str
    precision: str
    folder: Annotated[str, Meta(description="where its files lie in the bundle, / between folders")]
    compiled: Annotated[str | None, Meta(description=_COMPILED)] = None


class Index(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle. All its files are listed, but this one, and those in the folder 'signatures'.

    That folder is the place for detached signatures of index.json, which vouch for everything through its digests.
    Nothing is written there yet; who verifies says that there are some, and that they were not checked.
    """

    format: Literal[1] = FORMAT
    files: Annotated[dict[str, File], Meta(description="by their path in the bundle")]
    models: Annotated[dict[str, Source], Meta(description="by id: where each comes from, and its licence")]
    artifacts: tuple[Artifact, ...]
    tools: Annotated[dict[str, str], Meta(description="the versions of what has a say in the artifacts")]
    bill_of_materials: Annotated[
        str | None, Meta(description="which of 'files' is a machine-readable bill of materials; none is written yet")
    ] = None


def place(model: str, target: str, precision: str) -> str:
    """The folder of an artifact."""
    return f"models/{model}/{target}/{precision}"


def compiled_place(model: str, target: str, precision: str) -> str:
    """The folder of what a device's own compiler made of an artifact."""
    return f"{place(model, target, precision)}.compiled"


def encode(index: Index) -> bytes:
    """The one JSON text of an index."""
    return msgspec.json.format(msgspec.json.encode(index, order="sorted"), indent=2) + b"\n"


def schema_text() -> str:
    """The JSON Schema of an index, as it is shipped in ``bundle.schema.json``."""
    (top,), definitions = msgspec.json.schema_components((Index,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelbuild bundle",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"
