"""Write a graph as IR."""

from __future__ import annotations

from modelbuild.ir import write
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, see_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import BIN, XML
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage


@stage("emit", code=(*GRAPH_CODE, "modelbuild.ir"), versions=NUMBERS)
def emit(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``name`` of params is the network's name in the IR. Gives the pair, each under a fixed name."""
    with out.path(XML).open("xb") as xml_file, out.path(BIN).open("xb+") as bin_file:
        write(see_graph(inputs), xml_file, bin_file, name=params["name"])
