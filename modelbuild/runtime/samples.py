"""A part of the examples that people give, chosen by a seed: the same on every machine, for as long as names stay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from modelbuild.errors import SourceError
from modelbuild.runtime.examples import read_examples
from modelbuild.runtime.pictures import PICTURES, read_picture
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact


def choose(
    files: Mapping[str, Path], inputs: Mapping[str, Fact], layouts: Mapping[str, str], *, samples: int, seed: int
) -> list[dict[str, Array]]:
    """At most ``samples`` examples of ``files``, which go by name; a picture is one, read by the input's layout."""

    def examples() -> Iterator[dict[str, Array]]:
        for name in _shuffled(files, seed):
            found = _read(files[name], inputs, layouts)
            yield from (found[int(index)] for index in _shuffled(map(str, range(len(found))), seed))

    return list(islice(examples(), samples))


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """By digest: a generator of random numbers may give others in its next version."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _read(path: Path, inputs: Mapping[str, Fact], layouts: Mapping[str, str]) -> list[dict[str, Array]]:
    if path.suffix.lower() not in PICTURES:
        return read_examples(path, inputs)
    if len(inputs) != 1:
        listed = ", ".join(map(repr, inputs))
        raise SourceError(f"{path.name}: a picture is for one input, the model has {listed}: use an .npz")
    ((name, fact),) = inputs.items()
    return [{name: read_picture(path, fact, layouts.get(name, ""))}]
