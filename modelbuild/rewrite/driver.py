"""Apply rules until nothing changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import lru_cache

from modelbuild.errors import BrokenRule
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.graph import refine, reinfer
from modelbuild.graph.structure import Const, Parameter
from modelbuild.rewrite.pattern import Kinds, matches
from modelbuild.rewrite.rule import Rewriter, Rule, Skip
from modelbuild.rewrite.trace import Trace

STEPS_PER_NODE = 30
"""A set of rules that rewrites more often than this for each node goes in circles."""


def apply(rules: Iterable[Rule], graph: Graph, trace: Trace) -> int:
    """Apply ``rules`` together to ``graph`` and its bodies until nothing changes; return how often.

    Raises :class:`BrokenRule` where a rule gives a value another type or shape, or the rules never end.
    """
    run = _Run(tuple(rules), graph, trace)
    run.drain()
    return run.made


class _Run:
    """One application of a set of rules: the nodes still to look at, and what was done."""

    def __init__(self, rules: tuple[Rule, ...], graph: Graph, trace: Trace) -> None:
        self.rules = rules
        self.graph = graph
        self.trace = trace
        self.made = 0
        nodes = graph.nodes()
        self.budget = STEPS_PER_NODE * (len(nodes) + 10)
        self._choice = _choice(rules)
        self._queue: deque[Node[Op]] = deque()
        self._queued: set[Node[Op]] = set()
        self._settled: set[Graph] = set()
        self._push(*nodes)

    def drain(self) -> None:
        while self._queue:
            node = self._queue.popleft()
            self._queued.discard(node)
            if self.graph.needs(node):
                if node.op.bodies():
                    self._rewrite_bodies(node)
                self._rewrite(node)

    def _rewrite_bodies(self, node: Node[Op]) -> None:
        """Rewrite the bodies of a node before itself: what they give may settle what is outside."""
        old = node.op.bodies()
        if all(body in self._settled for body in old):
            return
        new = tuple(copy(body) for body in old)
        inner = sum(apply(self.rules, body, self.trace) for body in new)
        if inner:
            self.made += inner
            node.op = node.op.with_bodies(*new)
            self._push(*reinfer(node))
        self._settled.update(node.op.bodies())

    def _rewrite(self, node: Node[Op]) -> None:
        for rule in self._choice.of(node):
            for match in matches(rule.pattern, node):
                answer = rule.rewrite(match, Rewriter(node))
                if isinstance(answer, Skip):
                    self.trace.skipped(rule.name, str(node.outputs[0]), answer.why)
                elif answer is not None:
                    self._replace(rule, node, answer if isinstance(answer, tuple) else (answer,))
                    return

    def _replace(self, rule: Rule, node: Node[Op], new: tuple[Value, ...]) -> None:
        if len(new) != len(node.outputs):
            raise BrokenRule(f"{rule.name}: {node.name} has {len(node.outputs)} outputs, {len(new)} were given")
        self.trace.applied(rule.name, str(node.outputs[0]))
        around = [v.producer for v in node.inputs]
        for was, now in zip(node.outputs, new, strict=True):
            if not now.fact.refines(was.fact):
                raise BrokenRule(f"{rule.name}: {was} was {was.fact}, became {now.fact}")
        for was, now in zip(node.outputs, new, strict=True):
            gained = now.fact.value is not was.fact.value or now.fact.shape != was.fact.shape
            self.graph.replace(was, now)
            if gained:
                self._push(*refine((now,)))
        self._push(*around)
        for now in new:
            self._push_made(now.producer, around)
            self._push(*now.producer.users)
        self.made += 1
        if self.made > self.budget:
            raise BrokenRule(f"no end after {self.made} rewrites; the last was {rule.name} at {node.name}")

    def _push_made(self, node: Node[Op], around: list[Node[Op]]) -> None:
        """Queue a new node and the new ones below it."""
        pending = [node]
        while pending:
            one = pending.pop()
            if one not in self._queued and one not in around:
                self._push(one)
                pending += [v.producer for v in one.inputs if v.used_once]

    def _push(self, *nodes: Node[Op]) -> None:
        for node in nodes:
            if node not in self._queued and self._choice.is_any(type(node.op)):
                self._queued.add(node)
                self._queue.append(node)


class _Choice:
    """The rules of a set that may apply as far as kinds of operations tell, which are few: each choice is made once."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._by_kinds: dict[Kinds, tuple[Rule, ...]] = {}
        self._by_kind: dict[type[Op], bool] = {}

    def of(self, node: Node[Op]) -> tuple[Rule, ...]:
        kinds = (type(node.op), *[type(v.producer.op) for v in node.inputs])
        found = self._by_kinds.get(kinds)
        if found is None:
            fitting = (r for r in self._rules if _is_for(r, kinds[0]) and r.pattern.may_be_root(kinds))
            found = self._by_kinds[kinds] = tuple(fitting)
        return found

    def is_any(self, kind: type[Op]) -> bool:
        """Whether there is a rule for operations of ``kind``, whatever feeds them, or they run bodies."""
        found = self._by_kind.get(kind)
        if found is None:
            runs_bodies = kind.bodies is not Op.bodies
            found = self._by_kind[kind] = runs_bodies or any(_is_for(rule, kind) for rule in self._rules)
        return found


_choice = lru_cache(16)(_Choice)  # the same few sets of rules are applied to graph after graph


def _is_for(rule: Rule, kind: type[Op]) -> bool:
    """Whether ``rule`` may apply to operations of ``kind``. Where values come from is not just any operation."""
    return issubclass(kind, rule.pattern.op) and (rule.pattern.op is not Op or not issubclass(kind, Const | Parameter))
