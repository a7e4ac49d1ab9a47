"""Bring a graph into the form that one target and precision ask for."""

from __future__ import annotations

import msgspec

from modelbuild.passes.rename import rename
from modelbuild.passes.specialize import specialize as specialize_graph
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, read_graph, write_graph
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
    graph = read_graph(inputs)
    rename(graph, params["rename"])
    trace = specialize_graph(
        graph,
        precision=params["precision"],
        limits=Limits.read(params["limits"]),
        compression=msgspec.convert(params["compression"], Compression),
    )
    out.write(TRACE, f"{trace}\n".encode(), "log")
    write_graph(graph, {inputs.path(role): role for role in params["files"]}, inputs, out)
