"""What a graph holds, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.report.macs import Count
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import show_shape

_WIDEST_QUANTISED = 8

Natural = Annotated[int, Meta(ge=0)]


class Port(Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """An input or output. 'layout' is empty where nothing is known of the axes."""

    name: str
    type: Annotated[str, Meta(description="the element type, as OpenVINO spells it")]
    shape: Annotated[str, Meta(description="as in [1,3,H,W<1..8>], [...] where the rank is open")]
    layout: str = ""


class Summary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph at a glance. What it says of nodes counts those of bodies (If, Loop) too."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: Annotated[Natural, Meta(description="operations without inputs and constants")]
    operators: Annotated[dict[str, Natural], Meta(description="how many there are of each type of operation")]
    parameters: Annotated[Natural, Meta(description="numbers that were learned: real constants, and quantised ones")]
    weight_bytes: Annotated[dict[str, Natural], Meta(description="bytes of the constants of each element type")]
    macs: Annotated[Natural, Meta(description="multiplications with additions of one run")]
    macs_assume: Annotated[
        tuple[str, ...], Meta(description="symbols that were taken to be 1 for 'macs'; '?' are those without a name")
    ]
    notes: Annotated[tuple[str, ...], Meta(description="what a person should know of the conversion")] = ()


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
