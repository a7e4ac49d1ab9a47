"""What is done only where it is asked for by name, because it makes a model another one to whoever runs it.

States that went in and out become variables of the model; channels that are always zero go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.passes.transform.low_latency import low_latency
from modelbuild.passes.transform.make_stateful import make_stateful
from modelbuild.passes.transform.pruning import prune
from modelbuild.rewrite import Trace

if TYPE_CHECKING:
    from modelbuild.graph import Graph
    from modelbuild.manifest.model import Transform

__all__ = ["transform"]


def transform(graph: Graph, asked: Transform) -> Trace:
    """Do in place what is asked. Raises :class:`UsageError` where the graph has nothing to do it to."""
    trace = Trace()
    if asked.low_latency2 is not None:
        low_latency(graph, trace, use_const_initializer=asked.low_latency2.use_const_initializer)
    if asked.make_stateful:
        make_stateful(graph, trace, asked.make_stateful)
    if asked.pruning:
        prune(graph, trace)
    return trace
