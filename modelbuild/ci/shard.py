"""Splitting a build over machines that do not talk to each other.

Every machine works the split out for itself, so it depends only on what all of them see: what is asked for, and the
sizes in the lock files of the same commit. Times would differ from machine to machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelbuild.errors import UsageError

if TYPE_CHECKING:
    from modelbuild.manifest import Variant

_SHARD = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``number``-th of ``total`` parts, counted from 1."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        found = _SHARD.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text!r}: i/n is expected, from 1/n to n/n")
        return cls(int(found[1]), int(found[2]))


def part(variants: Sequence[Variant], sizes: Mapping[Variant, int], shard: Shard) -> tuple[Variant, ...]:
    """Those variants that are this shard's, in the order given.

    A model stays whole, because its variants share their first stages. The largest goes first, each to the shard that
    has least; a size that is not known is taken to be the mean of the others.
    """
    known = [sizes[variant] for variant in variants if variant in sizes]
    usual = max(1, sum(known) // len(known)) if known else 1
    weights: Counter[str] = Counter()
    for variant in variants:
        weights[variant.model] += sizes.get(variant, usual)
    loads = [0] * shard.total
    mine: set[str] = set()
    for model in sorted(weights, key=lambda model: (-weights[model], model)):
        least = loads.index(min(loads))
        loads[least] += weights[model]
        if least == shard.number - 1:
            mine.add(model)
    return tuple(variant for variant in variants if variant.model in mine)
