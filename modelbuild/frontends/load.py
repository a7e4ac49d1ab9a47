"""From a model file to a graph, whatever framework wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from modelbuild.errors import BuildError
from modelbuild.frontends.inputs import cut, with_inputs
from modelbuild.frontends.onnx import frontend as onnx_frontend
from modelbuild.frontends.preprocess import preprocess
from modelbuild.frontends.source import SourceModel, SourceType
from modelbuild.graph import Graph

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec
    from modelbuild.tensor.fact import Fact


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
        part = with_inputs(_typed(model, cut(model, order, outputs), inputs), inputs, batch)
        graph = onnx_frontend.to_graph(part)
        preprocess(graph, inputs)
    except BuildError as error:
        error.add_note(f"in {model.files[0]}" if model.files else "in a model from memory")
        raise
    return graph


def _typed(whole: SourceModel, part: SourceModel, specs: Sequence[InputSpec]) -> SourceModel:
    """``part`` with the types of inputs that the file does not declare, as the model gives them at the cut."""
    said = {spec.name for spec in specs if spec.type is not None and spec.shape is not None}
    open_ = [value.name for value in part.graph.inputs if value.type is None and value.name not in said]
    if not open_:
        return part
    made = onnx_frontend.to_graph(cut(whole, outputs=open_)).outputs
    types = {name: _declaration(value.fact) for name, value in zip(open_, made, strict=True)}
    inputs = tuple(replace(v, type=types[v.name]) if v.name in types else v for v in part.graph.inputs)
    return replace(part, graph=replace(part.graph, inputs=inputs))


def _declaration(fact: Fact) -> SourceType:
    shape = None if fact.shape is None else tuple(dim if isinstance(dim, int) else None for dim in fact.shape)
    return SourceType(fact.dtype, shape)
