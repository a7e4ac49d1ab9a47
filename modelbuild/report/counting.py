"""Counting what a graph holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.report.macs import Count
from modelbuild.report.summary import Port, Summary
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import show_shape

_WIDEST_QUANTISED = 8


def summarize(graph: Graph) -> Summary:
    nodes = list(_all_nodes(graph))
    operators = Counter(node.op.ir_type() for node in nodes if not isinstance(node.op, Parameter | Const))
    constants = [node.op.value for node in nodes if isinstance(node.op, Const)]
    weight_bytes: Counter[str] = Counter()
    for tensor in constants:
        weight_bytes[tensor.dtype.value] += tensor.nbytes
    count = Count()
    macs = count.of(graph)
    return Summary(
        inputs=tuple(map(_port, graph.inputs)),
        outputs=tuple(map(_port, graph.outputs)),
        layers=operators.total(),
        operators=dict(sorted(operators.items())),
        parameters=sum(tensor.size for tensor in constants if is_learned(tensor.dtype)),
        weight_bytes=dict(sorted(weight_bytes.items())),
        macs=macs,
        macs_assume=tuple(sorted(count.assumed)),
        notes=tuple(graph.notes),
    )


def is_learned(dtype: ElementType) -> bool:
    """Whether constants of this type are weights; wider integers are indices, sizes and the like."""
    return dtype.is_real or (dtype.is_integer and dtype.bits <= _WIDEST_QUANTISED)


def _all_nodes(graph: Graph) -> Iterator[Node[Op]]:
    for node in graph:
        yield node
        for body in node.op.bodies():
            yield from _all_nodes(body)


def _port(value: Value) -> Port:
    op = value.producer.op
    layout = op.layout if isinstance(op, Parameter) else ""
    return Port(str(value), value.fact.dtype.value, show_shape(value.fact.shape), layout)
