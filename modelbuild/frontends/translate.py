"""Translate a source model into a graph, node by node, with the handlers of its framework."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.frontends.functions import Fallback, Functions, instantiate
from modelbuild.frontends.handlers import Argument, Body, Build, Handler, Handlers, Items, Refusal, wrong_node
from modelbuild.frontends.source import (
    SourceFunction,
    SourceGraph,
    SourceModel,
    SourceNode,
    SourceType,
    SparseTensor,
)
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, Expr, Shape

_NOT_A_SYMBOL = re.compile(r"\W", re.ASCII)
_WITHIN = re.compile(r"(?P<name>.*)<(?P<lower>\d{1,18})\.\.(?P<upper>\d{0,18})>", re.DOTALL)


def translate(model: SourceModel, handlers: Handlers, fallback: Fallback | None = None) -> Graph:
    """The graph of a whole model. ``fallback`` defines operators that have no handler.

    Raises :class:`UnsupportedModel` with every operator that has no handler or was refused, and :class:`SourceError`
    for a node that contradicts itself.
    """
    translator = _Translator(model, handlers, fallback)
    translator.look_up_all()
    graph = translator.main()
    translator.complain()
    return graph


class _Refused(msgspec.Struct):
    """Why an operator was refused, the first time, and how often."""

    count: int
    why: str


class _Translator:
    def __init__(self, model: SourceModel, handlers: Handlers, fallback: Fallback | None) -> None:
        self.model = model
        self.handlers = handlers
        self.functions = Functions(model.functions)
        self.fallback = fallback
        self._notes: dict[str, None] = dict.fromkeys(model.notes)
        self._refused: dict[str, _Refused] = {}
        self._symbols = _Symbols()
        self._known: dict[tuple[str, str, int], Handler | None] = {}

    def look_up_all(self) -> None:
        """Raise for all operators at once that have no handler, in subgraphs and functions too."""
        for node, opsets in self.functions.reach(self.model):
            opset = opsets.get(node.domain, 1)
            if not (self._handler(node, opset) or self._may_define(node, opsets)):
                self._refuse(node, opset, self.handlers.why_not(node.domain, node.op))
        self.complain()

    def _handler(self, node: SourceNode, opset: int) -> Handler | None:
        """The handler of an operator, looked up once a model."""
        key = node.domain, node.op, opset
        if key not in self._known:
            self._known[key] = self.handlers.find(*key)
        return self._known[key]

    def complain(self) -> None:
        if self._refused:
            raise UnsupportedModel({name: (r.count, r.why) for name, r in self._refused.items()})

    def main(self) -> Graph:
        source = self.model.graph
        scope = _Scope(source, None, self.model.opsets)
        inputs = []
        for given in source.inputs:
            if given.name not in source.initializers:
                node = Node(self._parameter(given.name, given.type), (), given.name, "input", (given.name,))
                scope.own[given.name] = node.output
                inputs.append(node.output)
        outputs = self._tensors(source, self._translate_nodes(scope))
        graph = Graph(inputs, outputs, name=source.name or "model")
        graph.forget_strangers()
        graph.notes += self._notes
        return graph

    def body(self, source: SourceGraph, facts: Sequence[Fact], outer: _Scope) -> Body:
        """A closed graph: its own inputs first, then one for each value that it sees of the outside."""
        if len(facts) != len(source.inputs):
            raise ValueError(f"its body takes {len(source.inputs)} inputs, {len(facts)} are given")
        scope = _Scope(source, outer, outer.opsets)
        own = []
        for given, fact in zip(source.inputs, facts, strict=True):
            node = Node(Parameter(fact.dtype, fact.shape), (), given.name, "input", (given.name,))
            scope.own[given.name] = node.output
            own.append(node.output)
        outputs = self._tensors(source, self._translate_nodes(scope))
        if len(outputs) != len(source.outputs):
            raise Refusal("its body holds operators that cannot be translated")
        graph = Graph([*own, *scope.captured.values()], outputs, name=source.name or "body")
        graph.forget_strangers()
        return Body(graph, tuple(scope.captured))

    def _tensors(self, source: SourceGraph, outputs: Sequence[Argument]) -> list[Value]:
        """The outputs of a graph, which can give no sequences."""
        found = [value for value in outputs if isinstance(value, Value)]
        if len(found) != len(outputs):
            self._refused.setdefault(
                "output of sequence", _Refused(1, f"only tensors come out, e.g. of {source.name!r}")
            )
        return found

    def _translate_nodes(self, scope: _Scope) -> list[Argument]:
        """Translate the nodes of a scope in order; give the values of its outputs, as far as they could be made.

        What depends on a refused node is passed over, so that all refusals are found in one go.
        """
        lost: set[str] = set()
        for node in scope.source.nodes:
            if not lost.isdisjoint(node.inputs):
                lost.update(filter(None, node.outputs))
                continue
            try:
                self._translate_node(node, scope)
            except Refusal as why:
                self._refuse(node, scope.opset(node), str(why))
                lost.update(filter(None, node.outputs))
        return [scope.find(output.name) for output in scope.source.outputs if output.name not in lost]

    def _translate_node(self, node: SourceNode, scope: _Scope) -> None:
        opset = scope.opset(node)
        inputs = [scope.find(name) if name else None for name in node.inputs]
        function = self.functions.find(node)
        handler = None if function else self._handler(node, opset)
        if handler is None:
            self._call(function or self._definition(node, scope, inputs), node, inputs, scope)
            return
        build = Build(node, opset, lambda graph, facts: self.body(graph, facts, scope))
        values = self.handlers.translate(handler, build, inputs)
        if build.notes:
            self._notes |= dict.fromkeys(build.notes)
        for i, name in enumerate(node.outputs):
            if not name:
                continue
            value = values[i] if i < len(values) else None
            if value is None:
                raise Refusal(f"output {i} ({name}) cannot be made")
            scope.own[name] = value

    def _may_define(self, node: SourceNode, opsets: Mapping[str, int]) -> bool:
        return self.fallback is not None and self.fallback.knows(node, opsets)

    def _definition(self, node: SourceNode, scope: _Scope, inputs: Sequence[Argument | None]) -> SourceFunction:
        facts = [v.fact if isinstance(v, Value) else None for v in inputs]
        try:
            found = self.fallback.find(node, scope.opsets, facts) if self.fallback else None
        except ValueError as why:
            raise wrong_node(node, inputs, why) from why
        if found is None:
            raise Refusal(self.handlers.why_not(node.domain, node.op))
        self._notes[f"{_shown(node, scope.opset(node))} is translated by its definition: there is no handler"] = None
        return found

    def _call(
        self, function: SourceFunction, node: SourceNode, inputs: Sequence[Argument | None], scope: _Scope
    ) -> None:
        """Translate what a call stands for; it sees its inputs and nothing else."""
        try:
            source = instantiate(function, node)
        except ValueError as why:
            raise wrong_node(node, inputs, why) from why
        inner = _Scope(source, None, function.opsets)
        given = [value for value in inputs if value is not None]
        inner.own.update((formal.name, value) for formal, value in zip(source.inputs, given, strict=True))
        outputs = self._translate_nodes(inner)
        asked = [name for name in node.outputs if name]
        if len(outputs) != len(asked):
            raise Refusal("its definition holds operators that cannot be translated")
        for name, value in zip(asked, outputs, strict=True):
            if isinstance(value, Value):
                value.names = tuple(dict.fromkeys((*value.names, name)))
            scope.own[name] = value

    def _refuse(self, node: SourceNode, opset: int, why: str) -> None:
        reason = f"{why}, e.g. {node.name or next(filter(None, node.outputs), '')!r}"
        known = self._refused.setdefault(_shown(node, opset), _Refused(0, reason))
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


class _Scope(msgspec.Struct):
    """The values that names mean inside a graph, a body or a call; a body's captures become its own parameters."""

    source: SourceGraph
    outer: _Scope | None
    opsets: Mapping[str, int]
    own: dict[str, Argument] = msgspec.field(default_factory=dict)
    captured: dict[Value, Value] = msgspec.field(default_factory=dict)

    def opset(self, node: SourceNode) -> int:
        return self.opsets.get(node.domain, 1)

    def find(self, name: str) -> Argument:
        found = self.own.get(name)
        if found is None:
            found = self.own[name] = self._from_initializer(name) or self._from_outside(name)
        return found

    def _from_initializer(self, name: str) -> Value | None:
        tensor = self.source.initializers.get(name)
        if tensor is None:
            return None
        if isinstance(tensor, SparseTensor):
            try:
                tensor = tensor.dense()
            except ValueError as why:
                raise SourceError(f"sparse initializer {name!r}: {why}") from why
        return Node(Const(tensor), (), name, "initializer", (name,)).output

    def _from_outside(self, name: str) -> Argument:
        if self.outer is None:
            raise SourceError(f"nothing makes {name!r}")
        outside = self.outer.find(name)
        if isinstance(outside, Items):
            return Items(tuple(self._captured(value, str(value)) for value in outside.values))
        return self._captured(outside, name)

    def _captured(self, outside: Value, name: str) -> Value:
        """The value in here that stands for one outside: a constant again, or a parameter of the body."""
        if outside.fact.value is not None:
            return Node(Const(outside.fact.value), (), name, outside.producer.origin, (name,)).output
        if outside not in self.captured:
            parameter = Parameter(outside.fact.dtype, outside.fact.shape)
            self.captured[outside] = Node(parameter, (), name, "capture", (name,)).output
        return self.captured[outside]


def _shown(node: SourceNode, opset: int) -> str:
    return f"{node.domain}.{node.op}" if node.domain else f"{node.op}-{opset}"
