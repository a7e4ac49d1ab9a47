"""Bring a graph into the form that one target and precision ask for."""

from __future__ import annotations

import msgspec

from modelbuild.graph.copy import copy
from modelbuild.passes.rename import rename
from modelbuild.passes.specialize import specialize as specialize_graph
from modelbuild.passes.specialize import suits
from modelbuild.rewrite import Trace
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, pass_graph_on, see_graph, write_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import TRACE
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage
from modelbuild.targets import Limits
from modelbuild.targets.compression import Compression


@stage(
    "specialize",
    code=(
        *GRAPH_CODE,
        "modelbuild.passes",
        "modelbuild.rewrite",
        "modelbuild.spelling",
        "modelbuild.targets",
    ),
    versions=NUMBERS,
)
def specialize(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``precision``, ``limits``, ``compression`` and ``rename`` of params say what is asked."""
    precision, limits = params["precision"], Limits.read(params["limits"])
    compression = msgspec.convert(params["compression"], Compression)
    files = {inputs.path(role): role for role in params["files"]}
    graph, trace = see_graph(inputs), Trace()
    if not params["rename"] and suits(graph, precision=precision, limits=limits, compression=compression):
        pass_graph_on(graph, files, inputs, out)
    else:
        made = copy(graph)
        rename(made, params["rename"])
        trace = specialize_graph(made, precision=precision, limits=limits, compression=compression)
        write_graph(made, files, inputs, out)
    out.write(TRACE, f"{trace}\n".encode(), "log")
