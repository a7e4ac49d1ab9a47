"""Take the time that an artifact needs to answer.

Times are what one machine did once: a log, which enters no key. What is said of them was said when they were first
measured.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import IR, LATENCY, PLAIN, PROOF
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.pairs import appetite, pair
from modelbuild.stages.stage import Params, stage
from modelbuild.tensor.fact import Fact


@stage(
    "measure",
    code=(
        "modelbuild.errors",
        "modelbuild.runtime",
        "modelbuild.stages.names",
        "modelbuild.stages.pairs",
        "modelbuild.tensor",
    ),
    versions=("ml_dtypes", "msgspec", "numkong", "numpy", "openvino"),
    memory=appetite,
)
def measure(inputs: Inputs, params: Params, out: Outputs) -> None:
    """On ``device`` of params, with inputs of the shapes that it was proved on, if it was.

    Where ``in_turn`` of params is true, the IR of the role ``plain`` is run in turn with it.
    """
    proof = json.loads(inputs.path(PROOF, PROOF).read_bytes())
    said: dict[str, Any] = {"measured": False}
    if proof["proved"]:
        roles = (IR, PLAIN) if params["in_turn"] else (IR,)
        said = {"measured": True, **_measured(inputs, roles, params["device"], proof["inputs"])}
    out.write(LATENCY, f"{json.dumps(said, indent=2, sort_keys=True)}\n".encode(), "log")


def _measured(inputs: Inputs, roles: tuple[str, ...], device: str, shapes: dict[str, list[int]]) -> dict[str, Any]:
    from modelbuild.runtime.inputs import make
    from modelbuild.runtime.latency import fastest
    from modelbuild.runtime.session import Session, full_name

    with ExitStack() as open_pairs:
        paths = [open_pairs.enter_context(pair(inputs, role)) for role in roles]
        sessions = [Session(xml, device, fast=True) for xml in paths]
    ports = zip(sessions[0].input_names, sessions[0].inputs.values(), strict=True)
    facts = {name: Fact(fact.dtype, tuple(shapes[name])) for names, fact in ports for name in names if name in shapes}
    seconds, runs = fastest(sessions, make(facts, seed=0))
    return {
        "device": device,
        "name": full_name(device),
        "milliseconds": round(seconds[0] * 1e3, 4),
        "runs": runs,
        "ratio": round(seconds[0] / seconds[1], 4) if len(seconds) > 1 else None,
    }
