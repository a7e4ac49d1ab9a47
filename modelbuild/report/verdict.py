"""Whether what was measured of an artifact keeps to the limits that a manifest sets."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from modelbuild.manifest.quality import Check
from modelbuild.report.figures import size as written_size

if TYPE_CHECKING:
    from modelbuild.report.proof import Distance, Latency, Proof

DEFAULT_TOLERANCE: Final = Check(max_rel=0.01, cosine=0.999)
"""What an artifact is expected to keep to where the manifest says nothing of numbers."""

_OF_OUTPUTS: Final[tuple[tuple[str, str, Callable[[float, float], bool], str], ...]] = (
    ("max_abs", "max_abs", operator.le, "at most"),
    ("max_rel", "max_rel_to_peak", operator.le, "at most"),
    ("cosine", "cosine", operator.ge, "at least"),
    ("top1", "top1", operator.ge, "at least"),
)
"""The limit, what it is held against, how, and how that is said."""


def broken(
    check: Check, *, size: int | None = None, proof: Proof | None = None, latency: Latency | None = None
) -> Iterator[str]:
    """What exceeds its limit or cannot be told, each with what was found and what is asked."""
    yield from _outputs(check.tolerance, proof)
    if check.max_size is not None and size is not None and size > check.max_size:
        yield f"the pair has {size} bytes ({written_size(size)}), max_size allows {check.max_size}"
    if check.max_latency_ratio is not None:
        found = latency.ratio if latency is not None else None
        if found is None:
            yield f"max_latency_ratio {check.max_latency_ratio:g} is asked, but no time was measured"
        elif found > check.max_latency_ratio:
            yield f"it takes {found:.3g} times as long as in FP32, max_latency_ratio allows {check.max_latency_ratio:g}"


def _outputs(tolerance: Check, proof: Proof | None) -> Iterator[str]:
    if tolerance.is_empty:
        return
    if proof is None:
        yield "its answers could not be held against the source model's"
        return
    for name, distance in sorted(proof.outputs.items()):
        yield from (f"output {name!r}: {problem}" for problem in _output(tolerance, distance))
    if tolerance.top1 is not None and all(distance.top1 is None for distance in proof.outputs.values()):
        yield f"top1 {tolerance.top1:g} is asked, but no output has elements to choose from"


def _output(tolerance: Check, distance: Distance) -> Iterator[str]:
    for limit, measure, keeps, how in _OF_OUTPUTS:
        asked, found = getattr(tolerance, limit), getattr(distance, measure)
        if asked is None or (found is None and limit == "top1"):
            continue
        if found is None:
            yield f"{limit} is no number, {how} {asked:g} is asked"
        elif not keeps(found, asked):
            yield f"{limit} is {found:.6g}, {how} {asked:g} is asked"
