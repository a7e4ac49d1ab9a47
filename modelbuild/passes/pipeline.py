"""The order of the passes: a few phases, each a set of rules run together to a fixpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelbuild.errors import UsageError
from modelbuild.graph import Graph, verify
from modelbuild.passes.compress.indices import narrow_indices
from modelbuild.passes.extension_rules import NONE, ExtensionRules
from modelbuild.passes.fold import constants
from modelbuild.passes.fuse import batch_norm, matmul, preparation, scale, transpose, zero_point
from modelbuild.passes.legalize import bounds, reduce
from modelbuild.passes.normalize import branches, idle
from modelbuild.passes.share import share_equal_nodes
from modelbuild.rewrite import Rule, Trace, apply

# Folding decides conditions and shapes, and what is decided makes more to fold: one set.
NORMALIZE: Final[tuple[Rule, ...]] = (*constants.RULES, *branches.RULES, *idle.RULES)
# Later, because it wants weights that are constants by now.
FUSE: Final[tuple[Rule, ...]] = (
    *batch_norm.RULES,
    *scale.RULES,
    *preparation.RULES,
    *transpose.RULES,
    *matmul.RULES,
    *zero_point.RULES,
    *constants.RULES,
)


def normalize(graph: Graph, trace: Trace, further: tuple[Rule, ...] = ()) -> None:
    """What is decided is decided, what is known is computed, what does nothing goes."""
    rules = (*NORMALIZE, *further)
    apply(rules, graph, trace)
    branches.take_only_possible_branches(graph, rules, trace)


def fuse(graph: Graph, trace: Trace, further: tuple[Rule, ...] = ()) -> None:
    """Constants that weights can take in go into the weights."""
    apply((*FUSE, *further), graph, trace)
    graph.notes += (note for note in preparation.notes(trace) if note not in graph.notes)


def legalize(graph: Graph, trace: Trace, further: tuple[Rule, ...] = ()) -> None:
    """What the runtime computes or reads wrongly is said otherwise."""
    apply((*bounds.RULES, *reduce.RULES, *further), graph, trace)


def share(graph: Graph, trace: Trace, further: tuple[Rule, ...] = ()) -> None:
    """Last, because a node with several users is left alone by the rules before."""
    narrow_indices(graph, trace)
    share_equal_nodes(graph, trace)


PHASES: Final = {"normalize": normalize, "fuse": fuse, "legalize": legalize, "share": share}
"""The phases, in the order in which they run."""

DEFAULT: Final = tuple(PHASES)


def optimize(graph: Graph, phases: Sequence[str] = DEFAULT, further: ExtensionRules = NONE) -> Trace:
    """Run the named phases, in the order of :data:`PHASES`; the graph is checked at the end.

    Raises :class:`UsageError` for a phase that does not exist, :class:`SourceError` where the model contradicts itself.
    """
    for name in phases:
        if name not in PHASES:
            raise UsageError(f"there is no phase {name!r}; there are {', '.join(PHASES)}")
    trace = Trace()
    for name, run in PHASES.items():
        if name in phases:
            run(graph, trace, further.get(name, ()))
    verify(graph)
    return trace
