"""Read a source model and translate it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelbuild.errors import StageError
from modelbuild.frontends.load import load as load_model
from modelbuild.frontends.load import read_source
from modelbuild.manifest.model import Bound, InputSpec
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, write_graph, write_places
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import MODEL
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.stage import Params, stage
from modelbuild.tensor.dtype import ElementType


@stage(
    "load",
    code=(*GRAPH_CODE, "modelbuild.collector", "modelbuild.frontends", "modelbuild.manifest.model"),
    versions=NUMBERS,
)
def load(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``inputs`` and ``outputs`` of params: what the manifest says of them. Gives the graph as the source has it."""
    model = read_source(inputs.path(MODEL))
    files = {inputs.path(role): role for role in params["files"]}
    stray = [path for path in model.files if path not in files]
    if stray:
        raise StageError(f"{stray[0]}: the model reads it, but it was not there when the build was planned; run again")
    graph = load_model(model, [_spec(plain) for plain in params["inputs"]], params["outputs"])
    write_graph(graph, files, inputs, out)
    write_places(graph, files, out)


def plain_spec(spec: InputSpec) -> dict[str, Any]:
    """An input's specification as plain data for a key."""
    return {
        "name": spec.name,
        "shape": None
        if spec.shape is None
        else [[d.lower, d.upper] if isinstance(d, Bound) else d for d in spec.shape],
        "layout": spec.layout,
        "type": spec.type,
    }


def _spec(plain: dict[str, Any]) -> InputSpec:
    shape = plain["shape"]
    return InputSpec(
        plain["name"],
        None if shape is None else tuple(Bound(*d) if isinstance(d, list) else d for d in shape),
        plain["layout"],
        None if plain["type"] is None else ElementType(plain["type"]),
    )


def roles(files: list[tuple[str, Path]]) -> dict[str, Path]:
    """Roles for a model's files, given by name with its own file first."""
    (_, own), *further = files
    return {MODEL: own, **{f"data:{name}": path for name, path in further}}
