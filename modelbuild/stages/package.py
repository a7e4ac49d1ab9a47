"""What is delivered of an artifact: the pair as it was emitted, and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import BIN, IR, PROVENANCE, XML
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage


@stage("package", code=("modelbuild.stages.names",), versions=("msgspec",))
def package(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``provenance`` of params is written down with the digests of the files that it speaks of."""
    said: dict[str, Any] = dict(params["provenance"])
    said["files"] = {}
    for output in (XML, BIN):
        blob = inputs.output(IR, output)
        out.adopt(output, blob)
        said["files"][output.replace("model", said["model"])] = {"sha256": blob.sha256, "bytes": blob.size}
    # What json itself lays out takes it three times as long.
    plain = json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
    out.write(PROVENANCE, msgspec.json.format(plain, indent=2) + b"\n")
