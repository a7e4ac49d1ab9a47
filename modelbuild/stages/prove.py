"""Run an artifact and its source on the same inputs, and say how far apart they are.

The judge is the runtime's CPU, whatever device the artifact is for: it is the same everywhere and needs no hardware.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelbuild.errors import ProofFailed, StageError
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import IR, MODEL, PROOF
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.pairs import appetite, pair
from modelbuild.stages.specs import read_spec
from modelbuild.stages.stage import Params, stage
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr, bounds

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec
    from modelbuild.runtime.compare import Difference
    from modelbuild.runtime.reference import Reference
    from modelbuild.runtime.session import Session
    from modelbuild.tensor.dtype import Array, Ints
    from modelbuild.tensor.shape import Shape

NEEDS = ("onnxruntime", "openvino")
"""The modules without which nothing can be proved."""

_EXTENTS: Final = (64, 16, 1, 256, 2048, 16000)
"""What open dimensions are tried with: pictures and sentences come first, a second of sound last."""

_MOST_ELEMENTS: Final = 1 << 22
_SEED: Final = 0


class _Unproved(Exception):
    """The source gives nothing to compare with."""


@stage(
    "prove",
    code=(
        "modelbuild.errors",
        "modelbuild.manifest.model",
        "modelbuild.runtime",
        "modelbuild.stages.names",
        "modelbuild.stages.pairs",
        "modelbuild.stages.specs",
        "modelbuild.tensor",
    ),
    versions=("ml_dtypes", "numkong", "numpy", *NEEDS),
    memory=appetite,
)
def prove(inputs: Inputs, params: Params, out: Outputs) -> None:
    """Differences are reported, not judged, but an artifact that does not run or gives other shapes or types fails.

    So does one of ``precision`` FP32 that has NaNs and infinities in other places. ``inputs`` of params is what the
    manifest says of them; what it has done to them is done to what the source is fed with. Both are run on at most
    ``samples`` examples of the files of the roles ``reference``, or on noise if there are none.
    """
    specs = {spec.name: spec for spec in map(read_spec, params["inputs"])}
    examples = [inputs.path(role) for role in params["reference"]]
    with pair(inputs, IR) as xml:
        trial = _Trial(inputs.path(MODEL), specs, examples, params["samples"], params["extended"], params["rename"])
        said = _compare(xml, trial, params["precision"])
    out.write(PROOF, f"{json.dumps(said, indent=2, sort_keys=True)}\n".encode())


@dataclass(frozen=True, slots=True)
class _Trial:
    """What an artifact is held against, and on what: files of ``examples``, or noise."""

    source: Path
    specs: Mapping[str, InputSpec]
    examples: Sequence[Path]
    samples: int
    is_extended: bool
    """Whether it may have operations that the runtime learns from a library."""
    names: Mapping[str, str]
    """What inputs and outputs of the source are called in the artifact, where that is another name."""


def _compare(xml: Path, trial: _Trial, precision: str) -> dict[str, Any]:
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
        for feeds, wanted in _answers(trial, list(zip(ports, session.inputs.values(), strict=True))):
            fed = {trial.names.get(name, name): array for name, array in feeds.items()}
            count, shapes = count + 1, {name: list(array.shape) for name, array in fed.items()}
            answer = _run(session, fed)
            given = {of_source.get(name, name): array for name, array in answer.items()}
            for name in wanted.keys() & given.keys():
                called = trial.names.get(name, name)
                differences.setdefault(called, []).append(compare(given[name], wanted[name]))
    except _Unproved as why:
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


def _answers(
    trial: _Trial, ports: Sequence[tuple[Sequence[str], Fact]]
) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Inputs that the source model takes, and its answers to them; ``ports`` are inputs by all of their names."""
    from modelbuild.runtime.reference import Reference

    try:
        reference = Reference(trial.source)
    except StageError as error:
        raise _Unproved(f"the source model cannot be run: {error.args[0].rpartition(': ')[2]}") from error
    wanted = {next((n for n in names if n in reference.inputs), names[0]): fact for names, fact in ports}
    if not wanted.keys() <= reference.inputs.keys():
        raise _Unproved("it begins in the middle of the source model")
    frozen = {name for name, spec in trial.specs.items() if spec.value is not None}
    absent = {n: fact for n, fact in reference.inputs.items() if n not in wanted and n not in frozen}
    if not trial.examples:
        yield _on_noise(reference, wanted, absent, trial.specs)
    for feeds in _given(trial, wanted):
        shapes = {n: _closed(n, fact.shape or (), fact.shape or (), 1, {}) for n, fact in absent.items()}
        yield feeds, _answer(reference, feeds, trial.specs, absent, shapes)


def _answer(
    reference: Reference,
    feeds: Mapping[str, Array],
    specs: Mapping[str, InputSpec],
    absent: Mapping[str, Fact],
    shapes: Mapping[str, Ints],
) -> dict[str, Array]:
    """What the source model answers; ``absent`` are its inputs that the artifact does not take.

    They are nothing that it reads, or a state of which the artifact begins with zeros: zeros it is.
    """
    from modelbuild.runtime.prepare import for_source

    zeros = {name: np.zeros(shapes[name], fact.dtype.numpy) for name, fact in absent.items()}
    return reference.run({**for_source(feeds, specs, reference.inputs), **zeros})


def _given(trial: _Trial, wanted: Mapping[str, Fact]) -> Iterator[dict[str, Array]]:
    from modelbuild.runtime.examples import read_examples

    of_source = {trial.names.get(name, name): name for name in wanted}
    inputs = {name: wanted[source] for name, source in of_source.items()}
    every = (example for path in trial.examples for example in read_examples(path, inputs))
    for example in islice(every, trial.samples):
        yield {of_source[name]: array for name, array in example.items()}


def _on_noise(
    reference: Reference, wanted: Mapping[str, Fact], absent: Mapping[str, Fact], specs: Mapping[str, InputSpec]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Noise of a shape that the source model takes."""
    from modelbuild.runtime.inputs import make
    from modelbuild.runtime.prepare import delivered

    if any(fact.shape is None for fact in wanted.values()):
        raise _Unproved("its inputs leave open how many axes they have")
    shapes_of_source = {
        name: delivered(fact.shape or (), specs.get(name)) for name, fact in reference.inputs.items() if name in wanted
    }
    shapes_of_source |= {name: fact.shape or () for name, fact in absent.items()}
    refusal: object = None
    for shapes in _candidates({**wanted, **absent}, shapes_of_source):
        feeds = make({name: Fact(fact.dtype, shapes[name]) for name, fact in wanted.items()}, seed=_SEED)
        try:
            return feeds, _answer(reference, feeds, specs, absent, shapes)
        except (StageError, ValueError) as error:  # this shape is none for the model, the next may be
            refusal = str(error).partition(": ")[2] or error
    raise _Unproved(f"no shape was found that the source model takes; at last: {refusal}")


def _candidates(wanted: Mapping[str, Fact], source: Mapping[str, Shape]) -> Iterator[dict[str, Ints]]:
    """Shapes to try: of what is open, the first axis is 1, further ones are each of `_EXTENTS` in turn."""
    tried: list[dict[str, Ints]] = []
    for extent in _EXTENTS:
        chosen: dict[str, int] = {}
        shapes = {name: _closed(name, fact.shape or (), source[name], extent, chosen) for name, fact in wanted.items()}
        if shapes not in tried and all(math.prod(shape) <= _MOST_ELEMENTS for shape in shapes.values()):
            tried.append(shapes)
            yield shapes


def _closed(name: str, shape: Shape, source: Shape, extent: int, chosen: dict[str, int]) -> Ints:
    """``shape`` in numbers; ``chosen`` are those of the source's symbols, which mean one extent wherever they stand."""
    closed: list[int] = []
    for axis, dim in enumerate(shape):
        own = source[axis] if len(source) == len(shape) else dim
        symbol = own.only_symbol if isinstance(own, Expr) else None
        number = chosen.setdefault(symbol.name if symbol else f"{name}.{axis}", extent if axis else 1)
        low, high = bounds(dim)
        closed.append(max(number if high is None else min(number, high), low or 0))
    return tuple(closed)


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
