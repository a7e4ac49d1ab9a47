"""Graphs between stages: their text, and where the content lies that the text speaks of by digest.

The text enters keys; the index beside it does not, because equal digests are equal content wherever it lies. Content
of the source's own files is left there (``role``, ``offset``); what was computed is a blob of the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelbuild.errors import StageError
from modelbuild.graph import Graph
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse, show
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import GRAPH
from modelbuild.stages.outputs import Outputs
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.recipe import INLINE
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

GRAPH_CODE = (
    "modelbuild.errors",
    "modelbuild.graph",
    "modelbuild.ops",
    "modelbuild.stages.graphs",
    "modelbuild.stages.names",
    "modelbuild.tensor",
)
"""What every stage that reads or writes graphs may import."""

NUMBERS = ("ml_dtypes", "msgspec", "numkong", "numpy")
"""The packages whose version may show in numbers."""

TEXT, INDEX = "graph.txt", "tensors.json"


def write_graph(graph: Graph, files: dict[Path, str], given: Inputs, out: Outputs) -> None:
    """Write ``graph`` and its index. ``files`` are the source's files by path, with the roles they have here."""
    index: dict[str, Any] = {}
    for leaf in _leaves(graph):
        if leaf.digest not in index:
            index[leaf.digest] = _place(leaf, files, given, out)
    out.write(TEXT, show(graph).encode())
    out.write(INDEX, json.dumps(index, sort_keys=True, indent=0).encode(), "log")
    out.hand_over(TEXT, graph, copy)


def read_graph(given: Inputs) -> Graph:
    """The graph that the job of role ``graph`` made, to be changed freely."""

    def from_text(path: Path) -> Graph:
        index = json.loads(given.path(GRAPH, INDEX).read_bytes())

        def contents(digest: str, dtype: ElementType, shape: Ints) -> Tensor:
            place = index[digest]
            path = given.path(place["role"]) if "role" in place else given.blob(place["blob"])
            return Mapped(path, place.get("offset", 0), dtype, shape).known_as(digest)

        return parse(path.read_text(), contents)

    return given.value(GRAPH, TEXT, Graph, from_text)


def _place(leaf: Tensor, files: dict[Path, str], given: Inputs, out: Outputs) -> dict[str, Any]:
    if isinstance(leaf, Mapped):
        role = files.get(leaf.path)
        if role is not None:
            return {"role": role, "offset": leaf.offset}
        blob = out.refer(given.known(leaf.digest))
        return {"blob": blob.sha256}
    if isinstance(leaf, InMemory):
        blob = out.blob(b"".join(bytes(piece) for piece in leaf.chunks()))
        return {"blob": blob.sha256}
    raise StageError(f"{type(leaf).__name__} is no place for content")


def _leaves(graph: Graph) -> Iterator[Tensor]:
    """The content that the text names by digest, in the order of the nodes, bodies too."""
    for node in graph.nodes():
        if isinstance(node.op, Const):
            tensor: Any = node.op.value
            if tensor.size <= INLINE or tensor.dtype is ElementType.string:
                continue
            while hasattr(tensor, "source"):
                if hasattr(tensor, "factors"):
                    yield tensor.factors
                tensor = tensor.source
            yield tensor
        for body in node.op.bodies():
            yield from _leaves(body)
