"""Make a graph another one where the manifest asks for it, and rewrite what that brought."""

from __future__ import annotations

from modelbuild.passes import pipeline
from modelbuild.passes.extension_rules import rules_of
from modelbuild.passes.transform import transform as transform_graph
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, extensions, read_graph, write_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import TRACE
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.specs import read_transform
from modelbuild.stages.stage import Params, stage


@stage(
    "transform",
    code=(
        *GRAPH_CODE,
        "modelbuild.manifest.model",
        "modelbuild.passes",
        "modelbuild.rewrite",
        "modelbuild.spelling",
        "modelbuild.stages.specs",
    ),
    versions=NUMBERS,
)
def transform(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``transform`` of params says what is asked, ``phases`` what is run on what it leaves."""
    graph = read_graph(inputs)
    made = transform_graph(graph, read_transform(params["transform"]))
    with extensions(inputs) as modules:
        rewritten = pipeline.optimize(graph, params["phases"], rules_of(modules))
    out.write(TRACE, f"{made}\n{rewritten}\n".encode(), "log")
    write_graph(graph, {inputs.path(role): role for role in params["files"]}, inputs, out)
