"""What an artifact is held against, and on what: inputs that its source takes, and the answers to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from modelbuild.errors import StageError
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr, bounds

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec
    from modelbuild.runtime.reference import Reference
    from modelbuild.tensor.dtype import Array, Ints
    from modelbuild.tensor.shape import Shape

_EXTENTS: Final = (64, 16, 1, 256, 2048, 16000)
"""What open dimensions are tried with: pictures and sentences come first, a second of sound last."""

_MOST_ELEMENTS: Final = 1 << 22
_SEED: Final = 0


class Unproved(Exception):
    """The source gives nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What an artifact is held against, and on what: files of ``examples``, or noise."""

    source: Path
    specs: Mapping[str, InputSpec]
    examples: Sequence[Path]
    samples: int
    is_extended: bool
    """Whether it may have operations that the runtime learns from a library."""
    names: Mapping[str, str]
    """What inputs and outputs of the source are called in the artifact, where that is another name."""


def answers(
    trial: Trial, ports: Sequence[tuple[Sequence[str], Fact]]
) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Inputs that the source model takes, and its answers to them; ``ports`` are inputs by all of their names."""
    from modelbuild.runtime.reference import Reference

    try:
        reference = Reference(trial.source)
    except StageError as error:
        raise Unproved(f"the source model cannot be run: {error.args[0].rpartition(': ')[2]}") from error
    wanted = {next((n for n in names if n in reference.inputs), names[0]): fact for names, fact in ports}
    if not wanted.keys() <= reference.inputs.keys():
        raise Unproved("it begins in the middle of the source model")
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


def _given(trial: Trial, wanted: Mapping[str, Fact]) -> Iterator[dict[str, Array]]:
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
        raise Unproved("its inputs leave open how many axes they have")
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
    raise Unproved(f"no shape was found that the source model takes; at last: {refusal}")


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
