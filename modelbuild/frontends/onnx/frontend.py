"""ONNX files as graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.frontends.onnx.reader import read
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.standard import Definitions
from modelbuild.frontends.translate import translate

if TYPE_CHECKING:
    from modelbuild.frontends.source import SourceModel
    from modelbuild.graph import Graph

__all__ = ["read", "to_graph"]


def to_graph(model: SourceModel) -> Graph:
    """The graph of an ONNX model; raises :class:`UnsupportedModel` with all operators that have no translation."""
    return translate(model, onnx, Definitions())
