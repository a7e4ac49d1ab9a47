"""Let a device's own compiler make of an artifact what it runs: fast to load there, and of no use anywhere else."""

from __future__ import annotations

import json

from modelbuild import digest
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import BLOB, IR, PROVENANCE
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.pairs import appetite, pair
from modelbuild.stages.stage import Params, stage


@stage(
    "export",
    code=(
        "modelbuild.digest",
        "modelbuild.errors",
        "modelbuild.runtime",
        "modelbuild.stages.names",
        "modelbuild.stages.pairs",
        "modelbuild.tensor",
    ),
    versions=("ml_dtypes", "msgspec", "numpy", "openvino"),
    memory=appetite,
)
def export(inputs: Inputs, params: Params, out: Outputs) -> None:
    """For ``device`` of params. ``machine`` is what the blob depends on besides; ``provenance`` is written down."""
    from modelbuild.runtime.session import exported

    with pair(inputs, IR) as xml:
        blob = exported(xml, params["device"])
    out.write(BLOB, blob)
    files = {f"{params['name']}.blob": {"sha256": digest.of_bytes(blob), "bytes": len(blob)}}
    said = {**params["provenance"], "machine": params["machine"], "files": files}
    out.write(PROVENANCE, f"{json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False)}\n".encode())
