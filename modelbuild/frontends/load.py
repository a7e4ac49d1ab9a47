"""From a model file to a graph, whatever framework wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.errors import BuildError, UsageError
from modelbuild.frontends.inputs import apply_types, with_shapes
from modelbuild.frontends.onnx import frontend as onnx_frontend
from modelbuild.frontends.source import SourceModel
from modelbuild.graph import Graph

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec


def read_source(path: Path) -> SourceModel:
    """The model of a file as its framework wrote it; :class:`SourceError` where it is none that can be read."""
    return onnx_frontend.read(path)


def load(model: SourceModel, inputs: Sequence[InputSpec] = (), outputs: Sequence[str] = ()) -> Graph:
    """The graph of a source model with what is said of its inputs; nothing is optimised yet.

    ``outputs`` names the tensors to give, in order, wherever they are made; what only the others needed goes.

    Raises :class:`UnsupportedModel`, :class:`SourceError` for a node that contradicts itself, :class:`UsageError` for
    an input or output that the model does not have or a shape that does not fit it.
    """
    try:
        graph = onnx_frontend.to_graph(with_shapes(model, inputs))
        if outputs:
            cut(graph, outputs)
        apply_types(graph, inputs)
    except BuildError as error:
        error.add_note(f"in {model.files[0]}" if model.files else "in a model from memory")
        raise
    return graph


def cut(graph: Graph, outputs: Sequence[str]) -> None:
    """Make the tensors of these names the outputs of ``graph``."""
    made = {name: value for node in graph.nodes() for value in node.outputs for name in value.names}
    for name in outputs:
        if name not in made:
            ends = ", ".join(repr(str(value)) for value in graph.outputs)
            raise UsageError(f"there is no tensor {name!r} to give; the model's outputs are {ends}")
    graph.outputs = [made[name] for name in outputs]
