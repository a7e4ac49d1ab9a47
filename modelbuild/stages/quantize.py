"""Quantise weights and activations to eight bits, by ranges that were measured on examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from modelbuild.errors import StageError
from modelbuild.graph.structure import Parameter
from modelbuild.ir.names import layers
from modelbuild.passes.compress.quantized import expect_real_weights
from modelbuild.passes.quantize.exempt import exempt
from modelbuild.passes.quantize.grafts import apply
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, read_graph, write_graph
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import IR, TRACE
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.pairs import appetite, pair
from modelbuild.stages.stage import Params, stage
from modelbuild.targets.compression import Keep
from modelbuild.targets.precision import Precision

if TYPE_CHECKING:
    from modelbuild.graph import Graph, Node, Op
    from modelbuild.runtime.calibration import Settings
    from modelbuild.tensor.dtype import Array


@stage(
    "quantize",
    code=(
        *GRAPH_CODE,
        "modelbuild.ir",
        "modelbuild.passes",
        "modelbuild.rewrite",
        "modelbuild.runtime",
        "modelbuild.spelling",
        "modelbuild.stages.pairs",
        "modelbuild.targets",
    ),
    versions=(*NUMBERS, "nncf", "openvino", "pillow"),
    memory=appetite,
)
def quantize(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``calibration`` of params says how, ``examples`` are the roles of its data, ``keep`` what stays as it is.

    The graph and the IR of the roles ``graph`` and ``ir`` are those of one model, in FP32.
    """
    from modelbuild.runtime.calibration import calibrate

    graph = read_graph(inputs)
    expect_real_weights(graph, Precision(params["precision"]))
    known = layers(graph)
    settings = _settings(params, graph, known)
    examples = _examples(graph, inputs, params)
    if not examples:
        raise StageError("there is no example in the files of 'calibration'")
    with pair(inputs, IR) as xml:
        patch = calibrate(xml, examples, settings)
    if not patch.grafts:
        raise StageError(f"nothing in the model can be quantised to {params['precision']}; build it in FP16 or INT8")
    apply(patch, graph, known)
    out.write(TRACE, f"{len(examples)} examples, {len(patch.rewired)} inputs rewired\n".encode(), "log")
    write_graph(graph, {inputs.path(role): role for role in params["files"]}, inputs, out)


def _settings(params: Params, graph: Graph, known: Mapping[str, Node[Op]]) -> Settings:
    from modelbuild.runtime.calibration import Settings

    how = params["calibration"]
    rules = msgspec.convert(params["keep"], tuple[Keep, ...])
    kept = frozenset(exempt(graph, rules))
    ignored = tuple(name for name, node in known.items() if node in kept)
    return Settings(how["preset"], how["model_type"], how["fast_bias_correction"], ignored)


def _examples(graph: Graph, inputs: Inputs, params: Params) -> list[dict[str, Array]]:
    from modelbuild.runtime.samples import choose

    how = params["calibration"]
    layouts = {
        str(value): "".join(axis for axis in value.producer.op.layout if axis.isalpha())
        for value in graph.inputs
        if isinstance(value.producer.op, Parameter)
    }
    files = {role: inputs.path(role) for role in params["examples"]}
    facts = {str(value): value.fact for value in graph.inputs}
    return choose(files, facts, layouts, samples=how["samples"], seed=how["seed"])
