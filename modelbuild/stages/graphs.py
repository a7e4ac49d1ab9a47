"""Graphs between stages: their text, and where the content lies that the text speaks of by digest.

The text enters keys; where content lies does not, because equal digests are equal content. What was computed is a
blob of the store under that digest. What the source's own files hold is left there, and only `load` says where: its
key knows the very files. Equal graphs can come from files that hold the same in other places, so the places noted by
any later stage could be those of an earlier file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from modelbuild.errors import StageError
from modelbuild.extensions import extended
from modelbuild.graph import Graph
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse, show
from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import EXTENSION, GRAPH, ORIGIN
from modelbuild.stages.outputs import Outputs
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.recipe import INLINE
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

GRAPH_CODE = (
    "modelbuild.errors",
    "modelbuild.extensions",
    "modelbuild.graph",
    "modelbuild.ops",
    "modelbuild.registry",
    "modelbuild.stages.graphs",
    "modelbuild.stages.names",
    "modelbuild.tensor",
)
"""What every stage that reads or writes graphs may import."""

NUMBERS = ("ml_dtypes", "msgspec", "numkong", "numpy")
"""The packages whose version may show in numbers."""

TEXT, PLACES = "graph.txt", "places.json"


def write_graph(graph: Graph, files: dict[Path, str], given: Inputs, out: Outputs) -> None:
    """Write ``graph``, and keep what was computed. ``files`` are the source's files by path, with their roles here."""
    _keep_contents(graph, files, given, out)
    out.write(TEXT, show(graph).encode())
    out.hand_over(TEXT, graph, copy)


def pass_graph_on(graph: Graph, files: dict[Path, str], given: Inputs, out: Outputs) -> None:
    """What `write_graph` does, for the ``graph`` of `see_graph`, whose text is there."""
    _keep_contents(graph, files, given, out)
    out.adopt(TEXT, given.output(GRAPH, TEXT))
    out.hand_over(TEXT, graph, copy)


def write_places(graph: Graph, files: dict[Path, str], out: Outputs) -> None:
    """Write where the source's files hold what ``graph`` speaks of."""
    places = {
        leaf.digest: [files[leaf.path], leaf.offset]
        for leaf in _leaves(graph)
        if isinstance(leaf, Mapped) and leaf.path in files
    }
    out.write(PLACES, json.dumps(places, sort_keys=True, indent=0).encode(), "log")


def read_graph(given: Inputs) -> Graph:
    """The graph that the job of role ``graph`` made, to be changed freely."""
    return _graph(given, to_change=True)


def see_graph(given: Inputs) -> Graph:
    """The graph that the job of role ``graph`` made, not to be changed: others look at the same."""
    return _graph(given, to_change=False)


def _graph(given: Inputs, *, to_change: bool) -> Graph:
    def from_text(path: Path) -> Graph:
        places = json.loads(given.path(ORIGIN, PLACES).read_bytes())

        def contents(digest: str, dtype: ElementType, shape: Ints) -> Tensor:
            role, offset = places.get(digest, (None, 0))
            path = given.blob(digest) if role is None else given.path(role)
            return Mapped(path, offset, dtype, shape).known_as(digest)

        with extensions(given):
            return parse(path.read_text(), contents)

    return given.value(GRAPH, TEXT, Graph, from_text, to_change=to_change)


def extensions(given: Inputs) -> AbstractContextManager[tuple[ModuleType, ...]]:
    """With the operations and handlers of a user's own at work; gives the modules that define them."""
    roles = [role for role in given.roles if role.startswith(EXTENSION)]
    return extended([given.path(role) for role in sorted(roles, key=lambda role: int(role.removeprefix(EXTENSION)))])


def _keep_contents(graph: Graph, files: dict[Path, str], given: Inputs, out: Outputs) -> None:
    kept: set[str] = set()
    for leaf in _leaves(graph):
        if leaf.digest not in kept and not (isinstance(leaf, Mapped) and leaf.path in files):
            kept.add(leaf.digest)
            _keep(leaf, given, out)


def _keep(leaf: Tensor, given: Inputs, out: Outputs) -> None:
    if blob := given.find(leaf.digest):
        out.refer(blob)
    elif isinstance(leaf, InMemory):
        out.blob(leaf.octets())
    else:
        raise StageError(f"{type(leaf).__name__} is no place for content that no input knows")


def _places(tensor: Tensor) -> Iterator[Tensor]:
    if not tensor.sources:
        yield tensor
    for source in tensor.sources:
        yield from _places(source)


def _leaves(graph: Graph) -> Iterator[Tensor]:
    """The content that the text names by digest, in the order of the nodes, bodies too."""
    for node in graph.nodes():
        if isinstance(node.op, Const):
            tensor = node.op.value
            if tensor.size > INLINE and tensor.dtype is not ElementType.string:
                yield from _places(tensor)
        else:
            for body in node.op.bodies():
                yield from _leaves(body)
