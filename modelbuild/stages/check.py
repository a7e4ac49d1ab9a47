"""Hold an artifact against the limits that the manifest sets."""

from __future__ import annotations

import json
from typing import Any

from modelbuild.errors import CheckFailed
from modelbuild.manifest.quality import Check
from modelbuild.report.proof import Latency, Proof
from modelbuild.report.verdict import broken
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import BIN, IR, LATENCY, PROOF, VERDICT, XML
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage

_ADVICE = "build another precision, keep more of the model in a higher one, or move the limit in 'check'"


@stage(
    "check",
    code=(
        "modelbuild.errors",
        "modelbuild.manifest.quality",
        "modelbuild.report.figures",
        "modelbuild.report.proof",
        "modelbuild.report.verdict",
        "modelbuild.stages.names",
    ),
    versions=("msgspec",),
)
def check(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``limits`` of params are a manifest's. Of the roles ``proof`` and ``latency`` those are there that one needs."""
    proof = _read(inputs, PROOF) if params["needs_proof"] else None
    latency = _read(inputs, LATENCY) if params["needs_latency"] else None
    problems = tuple(
        broken(
            Check.of(params["limits"]),
            size=sum(inputs.output(IR, name).size for name in (XML, BIN)),
            proof=None if proof is None else Proof.read(proof, against="onnxruntime"),
            latency=None if latency is None else Latency.read(latency),
        )
    )
    if problems:
        raise CheckFailed(f"{'; '.join(problems)}; {_ADVICE}")
    out.write(VERDICT, f"{json.dumps(params['limits'], indent=2, sort_keys=True)}\n".encode())


def _read(inputs: Inputs, name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(inputs.path(name, name).read_bytes())
    return said
