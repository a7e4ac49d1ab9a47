"""Make a graph fit for a device and for the oldest release that has to read it, or say all that stands against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import Final

import msgspec

from modelbuild import ops
from modelbuild.errors import BuildError, UsageError
from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.op import REGISTRY
from modelbuild.graph.structure import Const, Parameter
from modelbuild.passes.fold import constants
from modelbuild.passes.legalize import (
    activation,
    arithmetic,
    arrangement,
    bits,
    earlier,
    normalization,
    scattering,
    signal,
)
from modelbuild.passes.measures import MEASURES
from modelbuild.rewrite import Match, Rewriter, Rule, Trace, apply
from modelbuild.rewrite.rule import Rewrite
from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets import Limit, Limits, Profile
from modelbuild.targets.release import (
    READS_INFINITY,
    READS_OPEN_REFLECTION,
    RUNS_ELLIPSIS,
    reads_operation,
    reads_type,
)
from modelbuild.tensor.shape import bounds, show_shape

SPELLINGS: Final[tuple[Rule, ...]] = (
    *activation.RULES,
    *arithmetic.RULES,
    *arrangement.RULES,
    *bits.RULES,
    *earlier.RULES,
    *normalization.RULES,
    *scattering.RULES,
    *signal.RULES,
)
"""How operations are said without themselves. None is applied where the operation itself will do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node, or an input of the graph, that cannot be taken: ``what`` it is, ``why`` not, what would ``help``."""

    what: str
    why: str
    help: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def fit(graph: Graph, limits: Limits, trace: Trace) -> None:
    """Rewrite ``graph`` in place; raise :class:`BuildError` with all that cannot be taken and what would help."""
    if refusals := refused(graph, limits, trace):
        raise unfit(limits, refusals)


def unfit(limits: Limits, refusals: Sequence[Refusal]) -> BuildError:
    """The error that tells ``refusals``: the first in its message, the others and the ways out in its notes."""
    more = f", and {len(refusals) - 1} more" if len(refusals) > 1 else ""
    since = f" of release {limits.runtime}" if limits.runtime else ""
    who = f"{limits.device}{since} does not take the model" if limits.device else "shapes are to be static"
    error = BuildError(f"{who}: {refusals[0]}{more}")
    for refusal in refusals[1:]:
        error.add_note(str(refusal))
    for way in dict.fromkeys(refusal.help for refusal in refusals):
        error.add_note(f"what helps: {way}")
    return error


def refused(graph: Graph, limits: Limits, trace: Trace) -> list[Refusal]:
    """Rewrite ``graph`` in place as far as it helps; say what stands against it all the same."""
    judge = _Judge(limits)
    is_taken = not any(judge.refusals(graph))
    if not is_taken:
        apply((*map(judge.where_refused, SPELLINGS), *constants.RULES), graph, trace)
    shapes = list(open_shapes(graph)) if limits.static_shapes else []
    return shapes if is_taken else [*shapes, *judge.refusals(graph, shapes_come=bool(shapes))]


def fits(graph: Graph, limits: Limits) -> bool:
    """Whether ``graph`` is taken as it is."""
    return not judgement(graph, limits) and not (limits.static_shapes and any(open_shapes(graph)))


def judgement(graph: Graph, limits: Limits) -> list[Refusal]:
    """The nodes that device and release do not take as they are."""
    return list(_Judge(limits).refusals(graph))


def open_shapes(graph: Graph) -> Iterator[Refusal]:
    """What is not static: the inputs to begin with, for the rest may follow from them."""
    inputs = [v for v in graph.inputs if not v.fact.is_static]
    for value in inputs:
        yield Refusal(
            f"input {value}",
            f"its shape {show_shape(value.fact.shape)} is open, static ones are needed",
            f"give a shape to the input(s) {', '.join(map(str, inputs))}",
        )
    if inputs:
        return
    for node in graph.nodes():
        for value in node.outputs:
            if not value.fact.is_static:
                yield Refusal(
                    _label(node),
                    f"the shape {show_shape(value.fact.shape)} of {value} depends on the content of the inputs, "
                    "a static one is needed",
                    "cut the model before that: name other outputs",
                )


class _Judge:
    """Says of each node whether the device and the release take it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._oldest = limits.oldest
        for name in chain.from_iterable(map(_named, limits.members)):
            if name not in _known():
                hint = did_you_mean(name, _known())
                raise UsageError(f"device {limits.device}: unknown operator {quote(name)}{hint}")

    @cached_property
    def _is_picky(self) -> bool:
        """Whether there is anything that is not taken."""
        return self._oldest is not None or any(map(_is_picky, self._limits.members))

    def where_refused(self, rule: Rule) -> Rule:
        """``rule``, applied to nodes that are not taken as they are."""

        def rewrite(m: Match, g: Rewriter) -> Rewrite:
            return rule.rewrite(m, g) if self._why_not(g.root) else None

        return Rule(rule.name, rule.pattern, rewrite)

    def refusals(self, graph: Graph, *, shapes_come: bool = False) -> Iterator[Refusal]:
        """All of ``graph`` and its bodies; where shapes will be static, less what computes with shapes: it will go."""
        if not self._is_picky:
            return
        outputs = {v.producer for v in graph.outputs}
        for node in graph.nodes():
            found = self._why_not(node, is_output=node in outputs)
            if found and not (shapes_come and _is_of_integers(node)):
                yield Refusal(_label(node), *found)
            for body in node.op.bodies():
                yield from self.refusals(body, shapes_come=shapes_come)

    def _why_not(self, node: Node[Op], *, is_output: bool = False) -> tuple[str, str] | None:
        """Why it is not taken, and what would help."""
        return self._too_new(node) or self._against_members(node, is_output)

    def _too_new(self, node: Node[Op]) -> tuple[str, str] | None:
        if self._oldest is None:
            return None
        op = node.op
        since = reads_operation(op.ir_type(), op.version)
        if since > self._oldest:
            return f"{op.ir_type()} of {op.version} is read since {since}", f"runtime: {since}, or newer"
        if self._oldest < READS_INFINITY and _has_infinity(op):
            return f"an infinite attribute is read since {READS_INFINITY}", f"runtime: {READS_INFINITY}, or newer"
        if self._oldest < READS_OPEN_REFLECTION and _reflects_open_axis(node):
            since = READS_OPEN_REFLECTION
            return f"an open axis that is reflected is read since {since}", f"runtime: {since}, or newer"
        if self._oldest < RUNS_ELLIPSIS and isinstance(op, ops.Einsum) and "..." in op.equation:
            return f"an ellipsis is run since {RUNS_ELLIPSIS}", f"runtime: {RUNS_ELLIPSIS}, or newer"
        for value in node.outputs:
            since = reads_type(value.fact.dtype)
            if since > self._oldest:
                return f"{value.fact.dtype} is read since {since}", f"runtime: {since}, or newer"
        return None

    def _against_members(self, node: Node[Op], is_output: bool) -> tuple[str, str] | None:
        """A team that shares a model takes what one of its members takes, another one what all of them take."""
        members = self._limits.members
        answers = [(member, _against(node, member, is_output)) for member in members]
        reasons = [(member, why) for member, why in answers if why]
        if not reasons or (self._limits.shares and len(reasons) < len(members)):
            return None
        member, (why, way) = reasons[0]
        told = f"{why} (device {member.name})" if len(members) > 1 else why
        helper = member.fallback and not self._limits.shares
        elsewhere = f"device: HETERO:{member.plugin or member.name},{member.fallback}, or " if helper else ""
        return told, way or f"{elsewhere}another target, or 'exclude' this one"


@cache
def _known() -> frozenset[str]:
    """The operators of the runtime."""
    return frozenset(kind.ir_type() for kind in REGISTRY.own.values())


def _is_of_integers(node: Node[Op]) -> bool:
    return not isinstance(node.op, Parameter) and not any(v.fact.dtype.is_real for v in node.outputs)


def _has_infinity(op: Op) -> bool:
    return any(isinstance(value, float) and math.isinf(value) for value in msgspec.structs.astuple(op))


def _reflects_open_axis(node: Node[Op]) -> bool:
    """Whether a Pad reflects what the runtime may not know the shape of: it infers less than is known here."""
    is_reflection = isinstance(node.op, ops.Pad) and node.op.pad_mode is ops.PadMode.REFLECT
    return is_reflection and not node.inputs[0].fact.is_static


def _named(profile: Profile) -> Iterator[str]:
    yield from profile.takes
    yield from profile.lacks
    for limit in profile.limits:
        yield from limit.operators


def _is_picky(profile: Profile) -> bool:
    return bool(profile.takes or profile.lacks or profile.limits or profile.layouts) or bool(
        profile.types or profile.input_types or profile.output_types
    )


def _against(node: Node[Op], profile: Profile, is_output: bool) -> tuple[str, str] | None:
    """Why a device does not take a node, and what would help; nothing where only another device would."""
    op, name = node.op, node.op.ir_type()
    if name in profile.lacks:
        return profile.lacks[name], ""
    if profile.takes and not isinstance(op, Const | Parameter) and name not in profile.takes:
        return f"{name} is none of the operators that it takes", ""
    if isinstance(op, Parameter) and (found := _against_input(node, profile)):
        return found
    for types, where in ((profile.types, ""), (profile.output_types if is_output else (), " as an output")):
        for kind in _kinds(node) if types else ():
            if kind not in types:
                return f"{kind} is no type that it takes{where} (it takes {', '.join(types)})", ""
    if isinstance(op, Const):  # what is computed with it is limited
        return None
    for limit in profile.limits:
        if (not limit.operators or name in limit.operators) and (why := _beyond(node, limit)):
            return why, ""
    return None


def _against_input(node: Node[Op], profile: Profile) -> tuple[str, str] | None:
    """What can be mended where the model begins: its type and its layout."""
    assert isinstance(node.op, Parameter)
    (kind,) = _kinds(node)
    types = profile.input_types or profile.types
    if types and kind not in types:
        why = f"{kind} is no type that it takes as an input (it takes {', '.join(types)})"
        return why, f"give the input another 'type': one of {', '.join(types)}"
    layout = "".join(node.op.layout.strip("[]").split(","))
    if profile.layouts and layout and layout not in profile.layouts:
        why = f"{layout} is no layout that it takes (it takes {', '.join(profile.layouts)})"
        return why, f"give the input another 'target_layout': one of {', '.join(profile.layouts)}"
    return None


def _kinds(node: Node[Op]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([v.fact.dtype.value for v in node.outputs]))


def _beyond(node: Node[Op], limit: Limit) -> str | None:
    """How a node exceeds a limit that holds for its operator."""
    told, measure = MEASURES[limit.measure]
    for dim in measure(node):
        low, high = bounds(dim)
        if limit.at_most is not None and low is not None and low > limit.at_most:
            return f"{told} {dim}, at most {limit.at_most} can be"
        if limit.at_least is not None and high is not None and high < limit.at_least:
            return f"{told} {dim}, at least {limit.at_least} must be"
        if limit.multiple_of is not None and isinstance(dim, int) and dim % limit.multiple_of:
            return f"{told} {dim}, a multiple of {limit.multiple_of} is needed"
    return None


def _label(node: Node[Op]) -> str:
    if isinstance(node.op, Parameter):
        return f"input {node.output}"
    origin = f" (from {node.origin})" if node.origin else ""
    return f"{node.op.ir_type()} {quote(node.name)}{origin}"
