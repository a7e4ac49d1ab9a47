"""Read a source model and translate it."""

from __future__ import annotations

from pathlib import Path

from modelbuild.errors import StageError
from modelbuild.frontends.load import load as load_model
from modelbuild.frontends.load import read_source
from modelbuild.stages.graphs import GRAPH_CODE, NUMBERS, extensions, write_graph, write_places
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import MODEL
from modelbuild.stages.outputs import Outputs
from modelbuild.stages.specs import read_spec
from modelbuild.stages.stage import Params, stage


@stage(
    "load",
    code=(
        *GRAPH_CODE,
        "modelbuild.collector",
        "modelbuild.frontends",
        "modelbuild.manifest.model",
        "modelbuild.spelling",
        "modelbuild.stages.specs",
    ),
    versions=(*NUMBERS, "onnx"),  # which has the meaning of operators that are made of others
)
def load(inputs: Inputs, params: Params, out: Outputs) -> None:
    """``inputs``, ``order``, ``batch`` and ``outputs`` of params: what the manifest says. Gives the graph they make."""
    model = read_source(inputs.path(MODEL))
    files = {inputs.path(role): role for role in params["files"]}
    stray = [path for path in model.files if path not in files]
    if stray:
        raise StageError(f"{stray[0]}: the model reads it, but it was not there when the build was planned; run again")
    specs = [read_spec(plain) for plain in params["inputs"]]
    with extensions(inputs):
        graph = load_model(model, specs, params["outputs"], order=params["order"], batch=params["batch"])
    write_graph(graph, files, inputs, out)
    write_places(graph, files, out)


def roles(files: list[tuple[str, Path]]) -> dict[str, Path]:
    """Roles for a model's files, given by name with its own file first."""
    (_, own), *further = files
    return {MODEL: own, **{f"data:{name}": path for name, path in further}}
