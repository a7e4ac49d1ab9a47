"""From a model file to a graph, whatever framework wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelbuild.errors import BuildError
from modelbuild.frontends.inputs import apply_types, with_shapes
from modelbuild.frontends.onnx import frontend as onnx_frontend
from modelbuild.frontends.source import SourceModel
from modelbuild.graph import Graph
from modelbuild.manifest.model import InputSpec


def read_source(path: Path) -> SourceModel:
    """The model of a file as its framework wrote it; :class:`SourceError` where it is none that can be read."""
    return onnx_frontend.read(path)


def load(model: SourceModel, inputs: Sequence[InputSpec] = ()) -> Graph:
    """The graph of a source model with what is said of its inputs; nothing is optimised yet.

    Raises :class:`UnsupportedModel`, :class:`SourceError` for a node that contradicts itself, :class:`UsageError` for
    an input that the model does not have or a shape that does not fit it.
    """
    try:
        graph = onnx_frontend.to_graph(with_shapes(model, inputs))
        apply_types(graph, inputs)
    except BuildError as error:
        error.add_note(f"in {model.files[0]}" if model.files else "in a model from memory")
        raise
    return graph
