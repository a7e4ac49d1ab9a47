"""The rules of a person about layers that keep a higher precision than the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from modelbuild.errors import UsageError
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets.compression import Keep
from modelbuild.targets.precision import Precision

BY_RULE: Final = "a rule of 'keep' holds for it"

_BITS = {Precision.FP32: 32, Precision.FP16: 16, Precision.BF16: 16, Precision.INT8: 8, Precision.INT4: 4}


def kept_in(value: Value, rules: Sequence[Keep]) -> Precision | None:
    """The precision that a constant's users ask for by the rules, the highest where there are several."""
    found = [
        rule.precision for rule in rules for user in value.producer.users if rule.holds_for(_names(user), _types(user))
    ]
    return max(found, key=_BITS.__getitem__, default=None)


def is_kept_from(value: Value, rules: Sequence[Keep], precision: Precision) -> bool:
    """Whether a rule keeps a constant from going down to ``precision``."""
    kept = kept_in(value, rules)
    return kept is not None and _BITS[kept] > _BITS[precision]


def expect_layers(graph: Graph, rules: Sequence[Keep]) -> None:
    """Raise :class:`UsageError` with all rules that hold for no layer with weights."""
    if not rules:
        return
    layers = [(_names(node), _types(node)) for node in _layers(graph)]
    idle = [rule for rule in rules if not any(rule.holds_for(*layer) for layer in layers)]
    if not idle:
        return
    names = {names[0] for names, _ in layers}
    types = {types[0] for _, types in layers}
    error = UsageError(f"keep: no layer with weights is meant by {', '.join(quote(str(rule)) for rule in idle)}")
    for rule in idle:
        if rule.nodes and not any(replace(rule, types=()).holds_for(*layer) for layer in layers):
            error.add_note(f"no layer has a name like {quote(rule.nodes)}{did_you_mean(rule.nodes, names)}")
        for kind in rule.types:
            if not any(kind in types for _, types in layers):
                error.add_note(f"no layer is a {quote(kind)}{did_you_mean(kind, types)}")
    raise error


def _layers(graph: Graph) -> Iterator[Node[Op]]:
    """The nodes that use real constants, in bodies too."""
    for node in graph.nodes():
        if any(isinstance(v.producer.op, Const) and v.fact.dtype.is_real for v in node.inputs):
            yield node
        for body in node.op.bodies():
            yield from _layers(body)


def _names(node: Node[Op]) -> tuple[str, ...]:
    """A layer's name, that of the source's node, and those of its weights and results."""
    own = node.name, node.origin.partition(":")[2]
    weights = (v.producer.name for v in node.inputs if isinstance(v.producer.op, Const))
    return tuple(filter(None, (*own, *weights, *(name for v in node.outputs for name in v.names))))


def _types(node: Node[Op]) -> tuple[str, ...]:
    """What the operation is called here and in the source."""
    return type(node.op).__name__, node.origin.partition(":")[0]
