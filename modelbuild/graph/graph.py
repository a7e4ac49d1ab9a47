"""Values, the nodes that make them, and the graph that their outputs and sinks reach.

Invariants (checked by :func:`modelbuild.graph.verify`):

1. Every value has one producer; parameters and constants are nodes too.
2. ``(node, i) in value.uses``  iff  ``node.inputs[i] is value``.
3. A node belongs to the graph iff it is reachable from the outputs and sinks; dead code does not exist, so no pass
   removes it. Parameters belong to the graph whether used or not.
4. Facts are what ``infer`` gives for the facts of the inputs, or more precise.
5. A body is closed: it sees nothing but its own parameters, and is never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from modelbuild.errors import BrokenInvariant, SourceError
from modelbuild.graph.known import infer
from modelbuild.graph.op import Op
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr

O_co = TypeVar("O_co", bound=Op, covariant=True)


class Value(msgspec.Struct, eq=False):
    """One SSA value: made once, used many times, never reassigned.

    ``names`` are the tensor names that the source model (and so the IR) knows it by; a value in the middle of a
    decomposition has none.
    """

    producer: Node[Op]
    index: int
    fact: Fact
    names: tuple[str, ...] = ()
    uses: dict[tuple[Node[Op], int], None] = msgspec.field(default_factory=dict)

    @property
    def used_once(self) -> bool:
        return len(self.uses) == 1

    def __str__(self) -> str:
        if self.names:
            return self.names[0]
        node = self.producer
        return node.name if len(node.outputs) == 1 else f"{node.name}.{self.index}"

    def __repr__(self) -> str:
        return f"<{self}: {self.fact}>"


class Node(Generic[O_co]):
    """An operation applied to values.

    ``name`` is the layer's name in the IR (not always unique); ``origin`` the source node it came from, as
    ``operator:name``.
    """

    __slots__ = ("inputs", "name", "op", "origin", "outputs")

    def __init__(
        self,
        op: O_co,
        inputs: Sequence[Value] = (),
        name: str = "",
        origin: str = "",
        names: Sequence[str] = (),
        *,
        facts: Sequence[Fact] | None = None,
    ) -> None:
        """``names`` gives the single output of a node its tensor names; ``facts`` are what is known of all outputs."""
        self.op = op
        self.inputs = given = tuple(inputs)
        self.name = name
        self.origin = origin
        if facts is None:
            facts = infer(op, tuple([v.fact for v in given]))
        if len(facts) == 1:  # as nearly always
            self.outputs: tuple[Value, ...] = (Value(self, 0, facts[0]),)
        else:
            self.outputs = tuple([Value(self, i, fact) for i, fact in enumerate(facts)])
        if names:
            self.output.names = tuple(names)
        for i, value in enumerate(given):
            value.uses[self, i] = None

    @property
    def output(self) -> Value:
        """The only output."""
        (only,) = self.outputs
        return only

    @property
    def users(self) -> Iterator[Node[Op]]:
        """The nodes that use any output, once each, in the order of use."""
        return iter(dict.fromkeys([node for value in self.outputs for node, _ in value.uses]))

    def __repr__(self) -> str:
        return f"<{type(self.op).__name__} {self.name}>"


class Graph:
    """Named inputs, outputs and sinks; the body is whatever outputs and sinks reach.

    ``sinks`` are nodes without a consumer that must stay: ``Assign``. Iteration gives nodes, producers first. ``notes``
    are for a person: what was decided on the way from the source.
    """

    def __init__(
        self,
        inputs: Iterable[Value] = (),
        outputs: Iterable[Value] = (),
        sinks: Iterable[Node[Op]] = (),
        name: str = "model",
    ) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.sinks = list(sinks)
        self.name = name
        self.notes: list[str] = []
        self._order: tuple[Node[Op], ...] = ()
        self._ends: tuple[object, ...] = ()

    def __iter__(self) -> Iterator[Node[Op]]:
        """Yield nodes, producers first, inputs before all. Safe to rewrite while iterating."""
        return iter(self.nodes())

    def nodes(self) -> tuple[Node[Op], ...]:
        """All nodes, producers first; raises :class:`BrokenInvariant` for a cycle."""
        ends = (*self.inputs, None, *self.outputs, None, *self.sinks)
        if ends != self._ends:
            self._order = tuple(self._walk())
            self._ends = ends
        return self._order

    def _walk(self) -> dict[Node[Op], None]:
        """What outputs and sinks reach, depth first, after the inputs."""
        done: dict[Node[Op], None] = {v.producer: None for v in self.inputs}
        for end in (*[v.producer for v in self.outputs], *self.sinks):
            if end not in done:
                _descend(end, done)
        return done

    def needs(self, node: Node[Op]) -> bool:
        """Whether ``node`` is a sink, or makes what is used, or an output or input of the graph."""
        for value in node.outputs:
            if value.uses or value in self.outputs or value in self.inputs:
                return True
        return node in self.sinks

    def forget_strangers(self) -> None:
        """Forget uses by nodes that outputs and sinks do not reach: those that were made and then not asked for."""
        nodes = self.nodes()
        if sum([len(v.uses) for node in nodes for v in node.outputs]) == sum([len(node.inputs) for node in nodes]):
            return  # as many uses as there are inputs here: all are by our own
        live = set(nodes)
        for node in nodes:
            for value in node.outputs:
                for use in [use for use in value.uses if use[0] not in live]:
                    del value.uses[use]

    def replace(self, old: Value, new: Value) -> None:
        """Make every use of ``old`` a use of ``new``; ``new`` is known by the names of both from now on.

        Facts of the users are left to the caller (see :func:`refine`). What nothing needs any more is let go.
        """
        if old is new:
            return
        for node, i in tuple(old.uses):
            self._connect(node, i, new)
        old.uses.clear()
        new.names = tuple(dict.fromkeys((*new.names, *old.names))) if new.names else old.names
        if old in self.outputs:
            self.outputs = [new if v is old else v for v in self.outputs]
        self.release(old.producer)

    def rewire(self, node: Node[Op], index: int, new: Value) -> None:
        """Give input ``index`` of ``node`` another value."""
        old = node.inputs[index]
        if old is new:
            return
        old.uses.pop((node, index))
        self._connect(node, index, new)
        self.release(old.producer)

    def _connect(self, node: Node[Op], index: int, value: Value) -> None:
        node.inputs = (*node.inputs[:index], value, *node.inputs[index + 1 :])
        self._ends = ()
        value.uses[node, index] = None

    def release(self, node: Node[Op]) -> None:
        """Let ``node`` go if nothing needs it, and what only it needed."""
        pending = [node]
        while pending:
            dead = pending.pop()
            if self.needs(dead):
                continue
            for i, value in enumerate(dead.inputs):
                if value.uses.pop((dead, i), 0) is None:
                    pending.append(value.producer)


def _descend(end: Node[Op], done: dict[Node[Op], None]) -> None:
    """Add ``end`` to ``done``, after all that it needs and is not there yet."""
    opened = {end}
    path = [(end, iter(end.inputs))]  # each waits for the one after it
    while path:
        node, left = path[-1]
        for value in left:
            below = value.producer
            if below in done:
                continue
            if below.inputs:
                if below in opened:
                    raise BrokenInvariant(f"{below.name} reaches itself")
                opened.add(below)
                path.append((below, iter(below.inputs)))
                break
            done[below] = None
        else:
            done[node] = None
            path.pop()


@contextmanager
def explained(node: Node[Op]) -> Iterator[None]:
    """Say of which node a ``ValueError`` within speaks: the model contradicts itself there."""
    try:
        yield
    except ValueError as why:
        error = SourceError(f"{node.origin or node.name}: {why}")
        for i, value in enumerate(node.inputs):
            error.add_note(f"input {i}: {value} {value.fact}")
        raise error from why


def refine(changed: Iterable[Value]) -> list[Node[Op]]:
    """Carry more precise facts of ``changed`` through their users; return the nodes whose facts changed.

    A fact never gets less precise: where ``infer`` knows less than before, what was known stays. Raises
    :class:`SourceError` where a node cannot take what has become known of its inputs.
    """
    touched: dict[Node[Op], None] = {}
    pending = [user for value in changed for user, _ in value.uses]
    while pending:
        node = pending.pop()
        with explained(node):
            facts = infer(node.op, tuple([v.fact for v in node.inputs]))
        for value, fact in zip(node.outputs, facts, strict=True):
            if improves(fact, value.fact):
                value.fact = fact
                touched[node] = None
                pending.extend(user for user, _ in value.uses)
    return list(touched)


def reinfer(node: Node[Op]) -> list[Node[Op]]:
    """Tell a node what its operation, which was changed, knows of its outputs, and the users of these; see `refine`."""
    for value, fact in zip(node.outputs, infer(node.op, tuple(v.fact for v in node.inputs)), strict=True):
        if fact.refines(value.fact):
            value.fact = fact
    return refine(node.outputs)


def improves(new: Fact, old: Fact) -> bool:
    """Whether ``new`` says more than ``old``, and nothing less. One expression for another is no gain."""
    if not new.refines(old):
        return False
    if old.value is None and (new.value is not None or (old.dims is None and new.dims is not None)):
        return True
    if old.shape is None or new.shape is None:
        return new.shape is not None and old.shape is None
    return any(o is not n and _gains(n, o) for n, o in zip(new.shape, old.shape, strict=True))


def _gains(new: Dim, old: Dim) -> bool:
    return isinstance(old, Expr) and (isinstance(new, int) or (old is UNKNOWN and new is not UNKNOWN))
