"""In which order variants are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelbuild.manifest import Variant


def abreast(variants: Iterable[Variant], count: int) -> Iterator[Variant]:
    """The variants of ``count`` models in turn, then those of the next ones.

    Variants of one model share their first stages: of two that begin together, one waits while the other makes those.
    """
    models: dict[str, list[Variant]] = {}
    for variant in variants:
        models.setdefault(variant.model, []).append(variant)
    waiting = list(models.values())
    for first in range(0, len(waiting), count):
        for row in zip_longest(*waiting[first : first + count]):
            yield from (variant for variant in row if variant is not None)
