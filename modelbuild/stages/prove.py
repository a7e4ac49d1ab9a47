"""Run an artifact and its source on the same inputs, and say how far apart they are.

The judge is the runtime's CPU, whatever device the artifact is for: it is the same everywhere and needs no hardware.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild.errors import ProofFailed, StageError
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import IR, MODEL, PROOF
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.pairs import appetite, pair
from modelbuild.stages.specs import read_spec
from modelbuild.stages.stage import Params, stage
from modelbuild.stages.trial import Trial, Unproved, answers

if TYPE_CHECKING:
    from modelbuild.runtime.compare import Difference
    from modelbuild.runtime.session import Session
    from modelbuild.tensor.dtype import Array

NEEDS = ("onnxruntime", "openvino")
"""The modules without which nothing can be proved."""


@stage(
    "prove",
    code=(
        "modelbuild.errors",
        "modelbuild.manifest.model",
        "modelbuild.runtime",
        "modelbuild.spelling",
        "modelbuild.stages.names",
        "modelbuild.stages.pairs",
        "modelbuild.stages.specs",
        "modelbuild.stages.trial",
        "modelbuild.tensor",
    ),
    versions=("ml_dtypes", "msgspec", "numkong", "numpy", *NEEDS),
    memory=appetite,
)
def prove(inputs: Inputs, params: Params, out: Outputs) -> None:
    """Differences are reported, not judged, but an artifact that does not run or gives other shapes or types fails.

    So does one of ``precision`` FP32 that has NaNs and infinities in other places. ``inputs`` of params is what the
    manifest says of them; what it has done to them is done to what the source is fed with. Both are run on at most
    ``samples`` examples of the files of the roles ``reference``, or on noise if there are none. ``top1_axis`` is where
    the classes lie, if the manifest says it.
    """
    specs = {spec.name: spec for spec in map(read_spec, params["inputs"])}
    examples = [inputs.path(role) for role in params["reference"]]
    with pair(inputs, IR) as xml:
        trial = Trial(inputs.path(MODEL), specs, examples, params["samples"], params["extended"], params["rename"])
        said = _compare(xml, trial, params["precision"], params["top1_axis"])
    out.write(PROOF, f"{json.dumps(said, indent=2, sort_keys=True)}\n".encode())


def _compare(xml: Path, trial: Trial, precision: str, top1_axis: int | None) -> dict[str, Any]:
    from modelbuild.runtime.compare import compare, over
    from modelbuild.runtime.session import Session

    try:
        session = Session(xml)
    except StageError as error:
        if trial.is_extended:
            return {
                "proved": False,
                "why": f"the runtime does not load it, which may lack a library: {error.args[0].rpartition(': ')[2]}",
            }
        raise ProofFailed(f"the runtime does not load what was made: {error}") from error
    of_source = {new: old for old, new in trial.names.items()}
    differences: dict[str, list[Difference]] = {}
    count, shapes = 0, {}
    try:
        ports = [[of_source.get(name, name) for name in names] for names in session.input_names]
        for feeds, wanted in answers(trial, list(zip(ports, session.inputs.values(), strict=True))):
            fed = {trial.names.get(name, name): array for name, array in feeds.items()}
            count, shapes = count + 1, {name: list(array.shape) for name, array in fed.items()}
            answer = _run(session, fed)
            given = {of_source.get(name, name): array for name, array in answer.items()}
            for name in wanted.keys() & given.keys():
                called = trial.names.get(name, name)
                differences.setdefault(called, []).append(compare(given[name], wanted[name], top1_axis))
    except Unproved as why:
        return {"proved": False, "why": str(why)}
    if not differences:
        return {"proved": False, "why": "no output of the artifact is one of the source model"}
    found = {name: over(several) for name, several in sorted(differences.items())}
    _judge(found, precision)
    worst = max(found, key=lambda name: found[name].max_rel_to_peak)
    return {
        "proved": True,
        "examples": count,
        "on": "reference" if trial.examples else "noise",
        "inputs": shapes,
        "outputs": {name: _plain(difference) for name, difference in found.items()},
        "worst": worst,
        "max_rel_to_peak": found[worst].max_rel_to_peak,
    }


def _run(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    try:
        return session.reset().run(feeds)
    except StageError as error:
        raise ProofFailed(f"the runtime does not run what was made: {error}") from error


def _judge(found: Mapping[str, Difference], precision: str) -> None:
    for name, difference in found.items():
        if difference.problem:
            raise ProofFailed(f"output {name!r}: {difference.problem}")
        if difference.misplaced and precision == "FP32":
            raise ProofFailed(
                f"output {name!r}: {difference.misplaced} elements are NaN, infinite or other than theirs"
            )


def _plain(difference: Difference) -> dict[str, Any]:
    plain = asdict(difference)
    del plain["problem"]
    return {**plain, "max_rel_to_peak": difference.max_rel_to_peak, "top1": difference.top1}
