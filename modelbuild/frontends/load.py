"""From a model file to a graph, whatever framework wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.errors import BuildError
from modelbuild.frontends.inputs import cut, with_inputs
from modelbuild.frontends.onnx import frontend as onnx_frontend
from modelbuild.frontends.preprocess import preprocess
from modelbuild.frontends.source import SourceModel
from modelbuild.graph import Graph

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec


def read_source(path: Path) -> SourceModel:
    """The model of a file as its framework wrote it; :class:`SourceError` where it is none that can be read."""
    return onnx_frontend.read(path)


def load(
    model: SourceModel,
    inputs: Sequence[InputSpec] = (),
    outputs: Sequence[str] = (),
    *,
    order: Sequence[str] = (),
    batch: int | None = None,
) -> Graph:
    """The graph of a source model with what is said of its inputs; nothing is optimised yet.

    ``outputs`` names the tensors to give, in order, wherever they are made; ``order`` those that come in, wherever they
    are read. What lies outside goes. ``batch`` is how many examples each input takes at once.

    Raises :class:`UnsupportedModel`, :class:`SourceError` for a node that contradicts itself, :class:`UsageError` for
    an input or output that the model does not have or a shape that does not fit it.
    """
    try:
        graph = onnx_frontend.to_graph(with_inputs(cut(model, order, outputs), inputs, batch))
        preprocess(graph, inputs)
    except BuildError as error:
        error.add_note(f"in {model.files[0]}" if model.files else "in a model from memory")
        raise
    return graph
