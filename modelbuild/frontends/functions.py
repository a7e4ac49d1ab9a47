"""Operators that are defined by other operators: a call as the nodes that it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from modelbuild.errors import SourceError
from modelbuild.frontends.source import (
    Attribute,
    Reference,
    Scalar,
    SourceFunction,
    SourceGraph,
    SourceModel,
    SourceNode,
    SourceValue,
)

if TYPE_CHECKING:
    from modelbuild.tensor.fact import Fact

DEEPEST = 64
"""Functions that call functions: more than any exporter nests them, less than Python's stack."""

LARGEST = 1 << 18
"""Nodes that all calls of a model may come to; a file of a few bytes must not ask for billions."""


class Fallback(Protocol):
    """Definitions that a framework itself gives for its operators, for those without a handler."""

    def knows(self, node: SourceNode, opsets: Mapping[str, int]) -> bool:
        """Whether there may be a definition, before anything is known of the inputs."""

    def find(
        self, node: SourceNode, opsets: Mapping[str, int], inputs: Sequence[Fact | None]
    ) -> SourceFunction | None: ...


class Functions:
    """The functions of a model, by domain, name and overload."""

    def __init__(self, functions: Iterable[SourceFunction]) -> None:
        self._table: dict[tuple[str, str, str], SourceFunction] = {}
        for function in functions:
            if self._table.setdefault((function.domain, function.name, function.overload), function) is not function:
                raise SourceError(f"function {function.domain}.{function.name} is defined twice")

    def find(self, node: SourceNode) -> SourceFunction | None:
        """What ``node`` calls. A function comes before the operator that it has the name of."""
        return self._table.get((node.domain, node.op, node.overload)) if self._table else None

    def reach(self, model: SourceModel) -> Iterator[tuple[SourceNode, Mapping[str, int]]]:
        """Yield each node that is no call, of the model and of the functions it calls, with its operator sets.

        Raises :class:`SourceError` for a function that calls itself and for calls that come to too many nodes.
        """
        walk = _Walk(self)
        yield from walk.nodes(model.graph.nodes, model.opsets, 0)
        if self._table and walk.size(model.graph.nodes) > LARGEST:
            raise SourceError(f"the model's functions come to more than {LARGEST} nodes")


class _Walk(msgspec.Struct):
    """One pass over everything that is called; each function is seen once."""

    functions: Functions
    sizes: dict[SourceFunction, int | None] = msgspec.field(default_factory=dict)

    def nodes(
        self, nodes: Sequence[SourceNode], opsets: Mapping[str, int], depth: int
    ) -> Iterator[tuple[SourceNode, Mapping[str, int]]]:
        for node in with_inner(nodes):
            function = self.functions.find(node)
            if function is None:
                yield node, opsets
            elif function not in self.sizes:
                if depth == DEEPEST:
                    raise SourceError(f"functions call each other more than {DEEPEST} deep, at {node}")
                self.sizes[function] = None
                yield from self.nodes(function.nodes, function.opsets, depth + 1)
                self.sizes[function] = self.size(function.nodes)
            elif self.sizes[function] is None:
                raise SourceError(f"function {function.name!r} calls itself, at {node}")

    def size(self, nodes: Sequence[SourceNode]) -> int:
        """The nodes that these come to; what they call has been walked."""
        called = (self.functions.find(node) for node in with_inner(nodes))
        return sum(1 if function is None else 1 + (self.sizes[function] or 0) for function in called)


def with_inner(nodes: Iterable[SourceNode]) -> Iterator[SourceNode]:
    """Yield the nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attributes.values():
            for inner in attribute if isinstance(attribute, tuple) else (attribute,):
                if isinstance(inner, SourceGraph):
                    yield from with_inner(inner.nodes)


def instantiate(function: SourceFunction, node: SourceNode) -> SourceGraph:
    """The nodes that the call ``node`` stands for, as a graph whose inputs are those that are given.

    Outputs have the names of the call's outputs, all else gets the name of the call in front. Raises ``ValueError``
    for a call that does not fit.
    """
    if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
        raise ValueError(
            f"{len(node.inputs)} inputs and {len(node.outputs)} outputs, the function has at most "
            f"{len(function.inputs)} and {len(function.outputs)}"
        )
    for name in node.attributes:
        if name not in function.attributes and name not in function.defaults:
            raise ValueError(f"attribute {name} is not known")
    call = _Call.of(function, node)
    given = function.inputs[: len(node.inputs)]
    wanted = function.outputs[: len(node.outputs)]
    return SourceGraph(
        name=function.name,
        inputs=tuple(SourceValue(call.name(n), None) for n, given in zip(given, node.inputs, strict=True) if given),
        outputs=tuple(SourceValue(call.name(n), None) for n, asked in zip(wanted, node.outputs, strict=True) if asked),
        nodes=tuple(map(call.node, function.nodes)),
    )


class _Call(msgspec.Struct, frozen=True):
    """How names and attributes of a function read in one of its calls."""

    prefix: str
    names: Mapping[str, str]
    attributes: Mapping[str, Attribute]

    @classmethod
    def of(cls, function: SourceFunction, node: SourceNode) -> _Call:
        prefix = f"{node.name or next(filter(None, node.outputs), node.op)}/"
        while any(name.startswith(prefix) for name in node.outputs):
            prefix += "/"
        names = {formal: name for formal, name in zip(function.outputs, node.outputs, strict=False) if name}
        absent = [formal for i, formal in enumerate(function.inputs) if not any(node.inputs[i : i + 1])]
        return cls(prefix, names | dict.fromkeys(["", *absent], ""), {**function.defaults, **node.attributes})

    def name(self, name: str) -> str:
        return self.names.get(name, self.prefix + name)

    def node(self, node: SourceNode) -> SourceNode:
        filled = {name: self.value(value) for name, value in node.attributes.items()}
        return replace(
            node,
            name=self.prefix + (node.name or next(filter(None, node.outputs), node.op)),
            inputs=tuple(map(self.name, node.inputs)),
            outputs=tuple(map(self.name, node.outputs)),
            attributes={name: value for name, value in filled.items() if value is not None},
        )

    def value(self, value: Attribute) -> Attribute | None:
        """An attribute's value; none where it is that of an attribute of the call that is not there."""
        if isinstance(value, tuple):
            return tuple(self.scalar(inner) for inner in value)
        return self.attributes.get(value.name) if isinstance(value, Reference) else self.scalar(value)

    def scalar(self, value: Scalar) -> Scalar:
        return self.graph(value) if isinstance(value, SourceGraph) else value

    def graph(self, graph: SourceGraph) -> SourceGraph:
        return replace(
            graph,
            inputs=tuple(replace(v, name=self.name(v.name)) for v in graph.inputs),
            outputs=tuple(replace(v, name=self.name(v.name)) for v in graph.outputs),
            nodes=tuple(map(self.node, graph.nodes)),
            initializers={self.name(name): tensor for name, tensor in graph.initializers.items()},
            values={self.name(name): type_ for name, type_ in graph.values.items()},
        )
