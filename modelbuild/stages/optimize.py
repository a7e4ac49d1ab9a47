"""Rewrite a graph in the ways that all of its artifacts share."""

from __future__ import annotations

from modelbuild.passes import pipeline
from modelbuild.passes.extension_rules import rules_of
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, extensions, read_graph, write_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import TRACE
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage


@stage("optimize", code=(*GRAPH_CODE, "modelbuild.passes", "modelbuild.rewrite"), versions=NUMBERS)
def optimize(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``phases`` of params are run; what every rule did or why it did not is logged as ``trace.txt``."""
    graph = read_graph(inputs)
    with extensions(inputs) as modules:
        trace = pipeline.optimize(graph, params["phases"], rules_of(modules))
    out.write(TRACE, f"{trace}\n".encode(), "log")
    write_graph(graph, {inputs.path(role): role for role in params["files"]}, inputs, out)
