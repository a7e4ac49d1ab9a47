"""The order of the passes: a few phases, each a set of rules run together to a fixpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelbuild.errors import UsageError
from modelbuild.graph import Graph, verify
from modelbuild.passes.fold import constants
from modelbuild.passes.fuse import batch_norm, scale
from modelbuild.passes.normalize import decided_if, idle
from modelbuild.rewrite import Rule, Trace, apply

PHASES: Final[dict[str, tuple[Rule, ...]]] = {
    # Folding decides conditions and shapes, and what is decided makes more to fold: one set.
    "normalize": (*constants.RULES, *decided_if.RULES, *idle.RULES),
    # Later, because it wants weights that are constants by now.
    "fuse": (*batch_norm.RULES, *scale.RULES, *constants.RULES),
}
"""Rules by phase, in the order in which the phases run."""

DEFAULT: Final = tuple(PHASES)


def optimize(graph: Graph, phases: Sequence[str] = DEFAULT) -> Trace:
    """Run the named phases, in the order of :data:`PHASES`; the graph is checked at the end.

    Raises :class:`UsageError` for a phase that does not exist.
    """
    for name in phases:
        if name not in PHASES:
            raise UsageError(f"there is no phase {name!r}; there are {', '.join(PHASES)}")
    trace = Trace()
    for name, rules in PHASES.items():
        if name in phases:
            apply(rules, graph, trace)
    verify(graph)
    return trace
