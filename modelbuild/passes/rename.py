"""Other names for what goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelbuild.errors import UsageError
from modelbuild.graph import Graph, Value
from modelbuild.spelling import did_you_mean


def rename(graph: Graph, names: Mapping[str, str]) -> None:
    """Call inputs and outputs otherwise, old name -> new; raises :class:`UsageError` with all that cannot be done."""
    if not names:  # as nearly always; the graph is not gone through for it
        return
    ports = {name: value for value in (*graph.inputs, *graph.outputs) for name in value.names}
    if problems := list(_problems(graph, names, ports)):
        raise UsageError(f"rename: {'; '.join(problems)}")
    for old, new in names.items():
        value = ports[old]
        value.names = tuple([new if name == old else name for name in value.names])
        if value in graph.inputs:
            value.producer.name = new


def _problems(graph: Graph, names: Mapping[str, str], ports: Mapping[str, Value]) -> Iterator[str]:
    kept = {name for node in graph.nodes() for value in node.outputs for name in value.names} - names.keys()
    given: set[str] = set()
    for old, new in names.items():
        if old not in ports:
            yield f"there is no input or output {old!r}{did_you_mean(old, ports)}"
        if new in kept or new in given:
            yield f"{old!r} cannot be called {new!r}: another tensor is"
        given.add(new)
