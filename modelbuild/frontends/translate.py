"""Translate a source model into a graph, node by node, with the handlers of its framework."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.frontends.handlers import Body, Build, Handlers, Refusal
from modelbuild.frontends.source import SourceGraph, SourceModel, SourceNode, SourceType, SparseTensor
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, Expr, Shape
from modelbuild.tensor.storage import InMemory

LARGEST_SPARSE = 1 << 24
"""Sparse initializers are made dense; a file of a few bytes must not ask for gigabytes."""

_NOT_A_SYMBOL = re.compile(r"\W", re.ASCII)
_WITHIN = re.compile(r"(?P<name>.*)<(?P<lower>\d{1,18})\.\.(?P<upper>\d{0,18})>", re.DOTALL)


def translate(model: SourceModel, handlers: Handlers) -> Graph:
    """The graph of a whole model.

    Raises :class:`UnsupportedModel` with every operator that has no handler or was refused, and :class:`SourceError`
    for a node that contradicts itself.
    """
    translator = _Translator(model, handlers)
    translator.look_up_all(model.graph)
    graph = translator.main()
    translator.complain()
    return graph


@dataclass(slots=True)
class _Refused:
    """Why an operator was refused, the first time, and how often."""

    count: int
    why: str


class _Translator:
    def __init__(self, model: SourceModel, handlers: Handlers) -> None:
        self.model = model
        self.handlers = handlers
        self._refused: dict[str, _Refused] = {}
        self._symbols = _Symbols()

    def look_up_all(self, graph: SourceGraph) -> None:
        """Raise for all operators at once that have no handler, in subgraphs too."""
        for node in _all_nodes(graph):
            if self.handlers.find(node.domain, node.op, self._opset(node)) is None:
                self._refuse(node, f"no translation, e.g. {node.name or node.outputs[0]!r}")
        self.complain()

    def complain(self) -> None:
        if self._refused:
            raise UnsupportedModel({name: (r.count, r.why) for name, r in self._refused.items()})

    def main(self) -> Graph:
        source = self.model.graph
        scope = _Scope(source, None)
        inputs = []
        for given in source.inputs:
            if given.name not in source.initializers:
                node = Node(self._parameter(given.name, given.type), (), given.name, "input", (given.name,))
                scope.own[given.name] = node.output
                inputs.append(node.output)
        outputs = self._translate_nodes(scope)
        graph = Graph(inputs, outputs, name=source.name or "model")
        graph.forget_strangers()
        return graph

    def body(self, source: SourceGraph, facts: Sequence[Fact], outer: _Scope) -> Body:
        """A closed graph: its own inputs first, then one for each value that it sees of the outside."""
        if len(facts) != len(source.inputs):
            raise ValueError(f"its body takes {len(source.inputs)} inputs, {len(facts)} are given")
        scope = _Scope(source, outer)
        own = []
        for given, fact in zip(source.inputs, facts, strict=True):
            node = Node(Parameter(fact.dtype, fact.shape), (), given.name, "input", (given.name,))
            scope.own[given.name] = node.output
            own.append(node.output)
        outputs = self._translate_nodes(scope)
        if len(outputs) != len(source.outputs):
            raise Refusal("its body holds operators that cannot be translated")
        graph = Graph([*own, *scope.captured.values()], outputs, name=source.name or "body")
        graph.forget_strangers()
        return Body(graph, tuple(scope.captured))

    def _translate_nodes(self, scope: _Scope) -> list[Value]:
        """Translate the nodes of a scope in order; give the values of its outputs, as far as they could be made.

        What depends on a refused node is passed over, so that all refusals are found in one go.
        """
        lost: set[str] = set()
        for node in scope.source.nodes:
            if any(name in lost for name in node.inputs):
                lost.update(filter(None, node.outputs))
                continue
            try:
                self._translate_node(node, scope)
            except Refusal as why:
                self._refuse(node, f"{why}, e.g. {node.name or node.outputs[0]!r}")
                lost.update(filter(None, node.outputs))
        return [scope.find(output.name) for output in scope.source.outputs if output.name not in lost]

    def _translate_node(self, node: SourceNode, scope: _Scope) -> None:
        opset = self._opset(node)
        handler = self.handlers.find(node.domain, node.op, opset)
        if handler is None:
            raise Refusal("no translation")
        build = Build(node, opset, lambda graph, facts: self.body(graph, facts, scope))
        inputs = [scope.find(name) if name else None for name in node.inputs]
        values = self.handlers.translate(handler, build, inputs)
        for i, name in enumerate(node.outputs):
            if not name:
                continue
            value = values[i] if i < len(values) else None
            if value is None:
                raise Refusal(f"output {i} ({name}) cannot be made")
            scope.own[name] = value

    def _opset(self, node: SourceNode) -> int:
        found = self.model.opsets.get(node.domain)
        return 1 if found is None else found

    def _refuse(self, node: SourceNode, why: str) -> None:
        name = f"{node.domain}.{node.op}" if node.domain else f"{node.op}-{self._opset(node)}"
        known = self._refused.setdefault(name, _Refused(0, why))
        known.count += 1

    def _parameter(self, name: str, given: SourceType | None) -> Parameter:
        if given is None or given.kind != "tensor" or given.dtype is None:
            kind = "unknown type" if given is None else given.kind
            raise UnsupportedModel({f"input of {kind}": (1, f"only tensors come in, e.g. {name!r}")})
        shape: Shape | None = None
        if given.shape is not None:
            shape = tuple(self._dim(d, name, i) for i, d in enumerate(given.shape))
        return Parameter(given.dtype, shape)

    def _dim(self, given: int | str | None, name: str, axis: int) -> Dim:
        if isinstance(given, int):
            return given
        return self._symbols.of(given or f"{name}.{axis}")


class _Symbols:
    """Dimension names of a source as symbols: equal names give one symbol, different names never the same.

    ``N<1..8>`` is the symbol ``N`` within bounds.
    """

    def __init__(self) -> None:
        self._known: dict[str, Expr] = {}
        self._taken: set[str] = set()

    def of(self, name: str) -> Expr:
        if name not in self._known:
            bounded = _WITHIN.fullmatch(name)
            plain = _NOT_A_SYMBOL.sub("_", bounded["name"] if bounded else name)
            plain = plain if plain[:1].isalpha() else f"_{plain}"
            free = (plain if not i else f"{plain}_{i}" for i in range(len(self._taken) + 1))
            chosen = next(n for n in free if n not in self._taken)
            self._taken.add(chosen)
            lower, upper = (int(bounded["lower"]), bounded["upper"]) if bounded else (0, "")
            self._known[name] = Expr.symbol(chosen, lower, int(upper) if upper else None)
        return self._known[name]


@dataclass(slots=True)
class _Scope:
    """The values that names mean inside a graph or a body; a body's captures become its own parameters."""

    source: SourceGraph
    outer: _Scope | None
    own: dict[str, Value] = field(default_factory=dict)
    captured: dict[Value, Value] = field(default_factory=dict)

    def find(self, name: str) -> Value:
        found = self.own.get(name)
        if found is None:
            found = self.own[name] = self._from_initializer(name) or self._from_outside(name)
        return found

    def _from_initializer(self, name: str) -> Value | None:
        tensor = self.source.initializers.get(name)
        if tensor is None:
            return None
        if isinstance(tensor, SparseTensor):
            tensor = _dense(tensor, name)
        return Node(Const(tensor), (), name, "initializer", (name,)).output

    def _from_outside(self, name: str) -> Value:
        if self.outer is None:
            raise SourceError(f"nothing makes {name!r}")
        outside = self.outer.find(name)
        if outside.fact.value is not None:
            return Node(Const(outside.fact.value), (), name, outside.producer.origin, (name,)).output
        if outside not in self.captured:
            parameter = Parameter(outside.fact.dtype, outside.fact.shape)
            self.captured[outside] = Node(parameter, (), name, "capture", (name,)).output
        return self.captured[outside]


def _dense(sparse: SparseTensor, name: str) -> InMemory:
    """The tensor with its zeros; the indices are linear, or a row of coordinates a value."""
    size = math.prod(sparse.dims)
    if size > LARGEST_SPARSE:
        raise SourceError(f"sparse initializer {name!r} has {size} elements, at most {LARGEST_SPARSE} are filled in")
    indices, values = sparse.indices.numpy(), sparse.values.numpy()
    try:
        if indices.ndim == 2:
            indices = np.ravel_multi_index(tuple(indices.T), sparse.dims)
        made = np.zeros(size, values.dtype)
        made[indices] = values
    except (IndexError, ValueError) as why:
        raise SourceError(f"sparse initializer {name!r}: {why}") from why
    return InMemory(made.reshape(sparse.dims))


def _all_nodes(graph: SourceGraph) -> Iterator[SourceNode]:
    for node in graph.nodes:
        yield node
        for attribute in node.attributes.values():
            for inner in attribute if isinstance(attribute, tuple) else (attribute,):
                if isinstance(inner, SourceGraph):
                    yield from _all_nodes(inner)
