"""Count what an artifact holds, for the report."""

from __future__ import annotations

import msgspec

from modelbuild.report.counting import summarize
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, see_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import SUMMARY
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage


@stage(
    "describe",
    code=(*GRAPH_CODE, "modelbuild.report.counting", "modelbuild.report.macs", "modelbuild.report.summary"),
    versions=NUMBERS,
)
def describe(inputs: Inputs, params: Params, out: Outputs) -> None:  # noqa: ARG001 - a stage takes them
    """Gives the graph's summary as JSON."""
    out.write(SUMMARY, msgspec.json.encode(summarize(see_graph(inputs)), order="sorted"))
