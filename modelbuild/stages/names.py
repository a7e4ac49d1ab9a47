"""What stages call what they hand to each other: roles of inputs, and outputs by name."""

from __future__ import annotations

from typing import Final

MODEL: Final = "model"
"""The role of a model's own file; its further files are ``data:NAME``."""

EXTENSION: Final = "extension:"
"""What the roles of files with operations, handlers and rules of a user's own begin with; a number follows."""

EXTENSION_CODE: Final = "extension-code:"
"""What the roles of files begin with that those may import: no stage reads them, but they are in the keys."""

GRAPH: Final = "graph"
"""The role of the job that made the graph which a stage reads."""

ORIGIN: Final = "origin"
"""The role, aside, of the `load` job that the graph began with: it alone knows where the source's files hold what."""

IR: Final = "ir"
"""The role of the job that emitted the pair."""

PLAIN: Final = "plain"
"""The role of the job that emitted the same model in FP32."""

XML: Final = "model.xml"
BIN: Final = "model.bin"
BLOB: Final = "model.blob"
PROVENANCE: Final = "provenance.json"
PROOF: Final = "proof.json"
LATENCY: Final = "latency.json"
VERDICT: Final = "verdict.json"
SUMMARY: Final = "summary.json"
TRACE: Final = "trace.txt"


def delivered(model: str) -> dict[str, str]:
    """What is laid out of an artifact: the name of each file, and which output of the job `package` it is."""
    return {f"{model}.xml": XML, f"{model}.bin": BIN, PROVENANCE: PROVENANCE}
