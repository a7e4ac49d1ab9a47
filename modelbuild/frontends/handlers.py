"""The table from source operators to the functions that translate them.

A handler's signature *is* the operator's: after ``build`` its positional parameters are the inputs (an optional one has
the default ``None``, ``*values`` takes any number, a sequence of tensors is ``Items``), its keyword-only parameters the
attributes with the framework's own defaults. An attribute that the signature does not name is an error, never silently
dropped. A handler gives one value an output, in order; it may leave out trailing outputs that the node does not ask for
(``build.wants``).
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import msgspec
import numpy as np

from modelbuild.errors import SourceError
from modelbuild.frontends.source import SourceGraph, SourceNode, SparseTensor
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.registry import Registry
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.storage import InMemory, Tensor

if TYPE_CHECKING:
    from modelbuild.tensor.fact import Fact

Floats = tuple[float, ...]
Strings = tuple[str, ...]


class Items(msgspec.Struct, frozen=True):
    """A sequence of tensors, known one by one while the model is translated; it is no value of the graph."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.values))}]"


Argument = Value | Items
Made = Argument | tuple[Argument | None, ...]
Handler = Callable[..., Made]
H = TypeVar("H", bound=Handler)


class Refusal(Exception):
    """This node cannot be translated; says why."""


class Body(msgspec.Struct, frozen=True):
    """A translated subgraph: ``captures`` feed the inputs that follow its own, in order."""

    graph: Graph
    captures: tuple[Value, ...]


BodyMaker = Callable[[SourceGraph, "Sequence[Fact]"], Body]


class Build:
    """Makes graph nodes that remember which source node they came from.

    ``layer`` is the layer's name: the node's, or its first output's where it has none.
    """

    __slots__ = ("_body", "layer", "notes", "opset", "origin", "source")

    def __init__(self, source: SourceNode, opset: int, body: BodyMaker) -> None:
        self.source = source
        self.opset = opset
        self.layer = source.name or next(filter(None, source.outputs), source.op)
        self.origin = f"{source.op}:{self.layer}"
        self._body = body
        self.notes: list[str] = []

    def __call__(self, op: Op, *inputs: Value) -> Value:
        """The only output of a new node."""
        return self.node(op, *inputs).output

    def node(self, op: Op, *inputs: Value) -> Node[Any]:
        return Node(op, inputs, f"{self.layer}/{type(op).__name__}", self.origin)

    def const(self, content: Array | Tensor) -> Value:
        tensor = InMemory(content) if isinstance(content, (np.ndarray, np.generic)) else content
        return self(Const(tensor))

    def ints(self, *numbers: int) -> Value:
        """A constant list of i64: a shape, an order, a set of axes."""
        return self.const(np.array(numbers, np.int64))

    def scalar(self, number: float, dtype: ElementType = ElementType.i64) -> Value:
        """A constant of one element and no axes."""
        if dtype is ElementType.string:
            raise self.refuse("it needs a number, of the type of its input, which is text")
        return self.const(np.array(number).astype(dtype.numpy))

    def wants(self, output: int) -> bool:
        """Whether the source node asks for its output of this index."""
        return output < len(self.source.outputs) and bool(self.source.outputs[output])

    def body(self, graph: SourceGraph, inputs: Sequence[Fact]) -> Body:
        """Translate a subgraph whose own inputs have these facts; what it sees of the outside becomes more inputs."""
        return self._body(graph, inputs)

    def refuse(self, why: str) -> Refusal:
        """The error to raise where this node cannot be translated."""
        return Refusal(why)

    def note(self, what: str) -> None:
        """Tell a person what became of this node."""
        self.notes.append(f"{self.origin} {what}")

    def rank(self, value: Value, what: str = "input") -> int:
        """The rank of ``value``; refuses where it is unknown."""
        if value.fact.rank is None:
            raise self.refuse(f"the rank of {what} {value} is unknown")
        return value.fact.rank

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` counted from the front; raises ``ValueError`` where there is no such axis."""
        if not -rank <= axis < rank:
            raise ValueError(f"axis {axis} is not in a tensor of {rank} axes")
        return axis % rank

    def known_ints(self, value: Value, what: str) -> Ints:
        """The content of an integer tensor that must be known now; refuses where it is not."""
        found = value.fact.ints
        if found is None:
            raise self.refuse(f"{what} ({value}) is computed at run time, a constant is needed")
        return found

    def known_int(self, value: Value, what: str) -> int:
        """The one integer that must be known now; ``ValueError`` where there are more, or none."""
        found = self.known_ints(value, what)
        if len(found) != 1:
            raise ValueError(f"{what} is one number, {len(found)} are given")
        return found[0]


class Signature(msgspec.Struct, frozen=True, eq=False):
    """What a handler takes, read once from its parameters."""

    handler: Handler
    least: int
    most: int | None
    inputs: tuple[tuple[type, ...], ...]
    attributes: Mapping[str, type | tuple[type, ...] | None]
    required: frozenset[str]
    elements: Mapping[str, tuple[type, ...]]
    """What the lists among the attributes may hold."""

    @classmethod
    def of(cls, handler: Handler) -> Signature:
        hints = get_type_hints(handler)
        least, most, attributes, required = 0, 0, {}, []
        inputs: list[tuple[type, ...]] = []
        for name, p in list(inspect.signature(handler).parameters.items())[1:]:
            match p.kind:
                case p.POSITIONAL_ONLY | p.POSITIONAL_OR_KEYWORD:
                    most += 1
                    inputs.append(_taken(hints.get(name, Value)))
                    least = most if p.default is p.empty else least
                case p.VAR_POSITIONAL:
                    inputs.append(_taken(hints.get(name, Value)))
                    return cls(handler, least, None, tuple(inputs), *_attributes_of(handler, hints), _elements(hints))
                case p.KEYWORD_ONLY:
                    attributes[name] = _kind(hints[name])
                    if p.default is p.empty:
                        required.append(name)
        return cls(handler, least, most, tuple(inputs), attributes, frozenset(required), _elements(hints))

    def check(self, node: SourceNode) -> str | None:
        """What is wrong with the inputs and attributes of ``node``, if anything."""
        given = len(node.inputs)
        if given < self.least or (self.most is not None and given > self.most):
            most = "" if self.most == self.least else f" to {self.most or 'any'}"
            return f"{given} inputs, {self.least}{most} expected"
        for name, value in node.attributes.items():
            if name not in self.attributes:
                return f"attribute {name} is not known"
            kind = self.attributes[name]
            if kind is not None and not isinstance(value, kind):
                return f"attribute {name} is a {type(value).__name__}, not a {kind}"
            if isinstance(value, tuple) and value and not isinstance(value[0], self.elements.get(name, object)):
                return f"attribute {name} holds a {type(value[0]).__name__}, which it does not take"
        missing = self.required - node.attributes.keys()
        return f"attribute {min(missing)} is missing" if missing else None


@lru_cache(4096)  # there are few kinds of nodes, and thousands of each
def _misfit(signature: Signature, given: tuple[type, ...]) -> str | None:
    """Which input, by the types of all, is missing, or a sequence where a tensor is wanted, or the other way round."""
    wanted = chain(signature.inputs, cycle(signature.inputs[-1:]))  # the last one may stand for any number
    for i, (kind, kinds) in enumerate(zip(given, wanted, strict=False)):
        if kind not in kinds:
            return f"input {i} is {_CALLED.get(kind, 'missing')}"
    return None


_CALLED: dict[type, str] = {Value: "a tensor", Items: "a sequence"}


def _attributes_of(
    handler: Handler, hints: Mapping[str, Any]
) -> tuple[dict[str, type | tuple[type, ...] | None], frozenset[str]]:
    parameters = inspect.signature(handler).parameters.values()
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return (
        {p.name: _kind(hints[p.name]) for p in keywords},
        frozenset(p.name for p in keywords if p.default is p.empty),
    )


def _taken(hint: Any) -> tuple[type, ...]:
    """What an input may be by its annotation; one without is a tensor."""
    return get_args(hint) or (hint,)


_ELEMENTS: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str, bytes)}


def _elements(hints: Mapping[str, Any]) -> dict[str, tuple[type, ...]]:
    """What the lists among the parameters may hold, by their names; all elements of a list are of one type."""
    found = {}
    for name, hint in hints.items():
        for one in (hint, *get_args(hint)):
            if getattr(one, "__origin__", None) is tuple and (element := get_args(one)[0]) in _ELEMENTS:
                found[name] = _ELEMENTS[element]
    return found


def _kind(hint: Any) -> type | tuple[type, ...] | None:
    """What ``isinstance`` can check of an annotation; ``None`` where it cannot."""
    kinds = [k for k in (getattr(hint, "__args__", None) or (hint,)) if k is not type(None)]
    if getattr(hint, "__origin__", None) is tuple:
        return tuple
    plain = [tuple if getattr(k, "__origin__", None) is tuple else k for k in kinds]
    if not all(isinstance(k, type) for k in plain):
        return None
    return (int, float) if plain == [float] else tuple(plain)


class Handlers:
    """The handlers of one framework, by domain, operator and operator-set version.

    ``families`` are modules that register handlers when they are imported, which is done when an operator is not
    known yet. All versions of an operator are of one family. ``reasons`` say of operators, by domain and name, why they
    have none.
    """

    def __init__(
        self, framework: str, families: Iterable[str] = (), reasons: Mapping[tuple[str, str], str] | None = None
    ) -> None:
        self.framework = framework
        self._reasons = reasons or {}
        self._unread = deque(families)
        self._table: Registry[tuple[str, str], list[tuple[int, Handler]]] = Registry()
        self._signatures: dict[Handler, Signature] = {}

    def op(self, name: str, *, since: int = 1, domain: str = "") -> Callable[[H], H]:
        """Register a handler valid from operator-set version ``since`` on, until the next one."""

        def register(handler: H) -> H:
            versions = self._table.part(handler.__module__).setdefault((domain, name), [])
            if any(v == since for v, _ in versions):
                raise ValueError(f"{self.framework} {name} since {since} is registered twice")
            versions.append((since, handler))
            versions.sort(key=lambda entry: entry[0])
            return handler

        return register

    def __iter__(self) -> Iterator[tuple[str, str, int, Handler]]:
        """Yield ``(domain, operator, since, handler)`` of our own handlers, sorted."""
        while self._unread:
            import_module(self._unread.popleft())
        for (domain, name), versions in sorted(self._table.own.items()):
            for since, handler in versions:
                yield domain, name, since, handler

    def find(self, domain: str, name: str, version: int) -> Handler | None:
        """The handler of a version; an extension's operator stands for all of ours of that name."""
        versions = self._table.extended((domain, name))
        if versions is None:
            while (domain, name) not in self._table.own and self._unread:
                import_module(self._unread.popleft())
            versions = self._table.own.get((domain, name), [])
        at = bisect_right([since for since, _ in versions], version)
        return versions[at - 1][1] if at else None

    def why_not(self, domain: str, name: str) -> str:
        """Why there is no handler."""
        return self._reasons.get((domain, name), "no translation")

    def signature(self, handler: Handler) -> Signature:
        found = self._signatures.get(handler)
        if found is None:
            found = self._signatures[handler] = Signature.of(handler)
        return found

    def translate(
        self, handler: Handler, build: Build, inputs: Sequence[Argument | None]
    ) -> tuple[Argument | None, ...]:
        """The values that stand for the outputs of ``build.source``, known by their source names.

        Raises :class:`Refusal` where the operator cannot be translated, :class:`SourceError` where the node is wrong.
        """
        node = build.source
        signature = self.signature(handler)
        wrong = signature.check(node) or _misfit(signature, tuple(map(type, inputs)))
        if wrong:
            raise Refusal(wrong)
        try:
            made = handler(build, *inputs, **node.attributes)
        except (ValueError, ArithmeticError) as why:
            raise wrong_node(node, inputs, why) from why
        values = made if isinstance(made, tuple) else (made,)
        self._name(build, values, inputs)
        return values

    def _name(self, build: Build, values: Sequence[Argument | None], inputs: Sequence[Argument | None]) -> None:
        """Give the values the names of the source's outputs, and the layer that makes the first the node's name."""
        taken = False
        for name, value in zip(build.source.outputs, values, strict=False):
            if not isinstance(value, Value) or not name:
                continue
            if value.names:
                value.names = tuple(dict.fromkeys((*value.names, name)))
                continue
            value.names = (name,)
            if value.index == 0 and value.producer.origin == build.origin and value not in inputs:
                value.producer.name = name if taken else build.layer
                taken = True


def wrong_node(node: SourceNode, inputs: Sequence[Argument | None], why: object) -> SourceError:
    """The error for a node whose inputs or attributes contradict each other."""
    error = SourceError(f"{node.op} {node.name or (node.outputs or ('',))[0]!r}: {why}")
    for i, value in enumerate(inputs):
        if isinstance(value, Value):
            error.add_note(f"input {i}: {value} {value.fact}")
    return error


__all__ = [
    "Argument", "Body", "Build", "Floats", "Handler", "Handlers", "Ints", "Items", "Made", "Refusal", "Signature",
    "SourceGraph", "SparseTensor", "Strings", "wrong_node",
]  # fmt: skip
