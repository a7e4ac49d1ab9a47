"""Arrays for the inputs of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelbuild.tensor.dtype import Array


def match(feeds: Mapping[str, Array], inputs: Sequence[Sequence[str]]) -> list[Array]:
    """One array for each of ``inputs``, which are known by several names; ``ValueError`` unless all are fed, once."""
    left = dict(feeds)
    arrays: list[Array] = []
    for names in inputs:
        given = [name for name in names if name in left]
        if len(given) != 1:
            raise ValueError(f"input {names[0]!r} is given {'twice' if given else 'nothing'}; given: {_listed(feeds)}")
        arrays.append(left.pop(given[0]))
    if left:
        known = [names[0] for names in inputs]
        raise ValueError(f"there is no input {_listed(left)}; the model has {_listed(known)}")
    return arrays


def _listed(names: Mapping[str, Array] | Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
