"""Models that are quantised already: their weights are integers, and rounding twice would only add another error."""

from __future__ import annotations

from collections.abc import Iterator

from modelbuild import ops
from modelbuild.errors import BuildError
from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.structure import Const
from modelbuild.passes.compress.weights import FEWEST
from modelbuild.targets.precision import Precision
from modelbuild.tensor.storage import Tensor

LISTED = 3
"""How many of the integer weights an error names."""


def expect_real_weights(graph: Graph, precision: Precision) -> None:
    """Raise :class:`BuildError` for a model that its framework has quantised."""
    found = list(_integer_weights(graph))
    if not found:
        return
    shown = ", ".join(f"{node.name} {node.output.fact}" for node in found[:LISTED])
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    error = BuildError(f"the model is quantised already, it is not quantised again to {precision}: {shown}{more}")
    error.add_note(f"FP32 and FP16 keep its integers; leave {precision} out, or build it from a model that is not")
    raise error


def _integer_weights(graph: Graph) -> Iterator[Node[Op]]:
    """Constants of few bits that become real numbers, in bodies too."""
    for node in graph.nodes():
        if isinstance(node.op, Const) and _is_narrow(node.op.value) and any(map(_makes_real, node.users)):
            yield node
        for body in node.op.bodies():
            yield from _integer_weights(body)


def _is_narrow(tensor: Tensor) -> bool:
    return tensor.dtype.is_integer and tensor.dtype.bits <= 8 and tensor.size >= FEWEST


def _makes_real(node: Node[Op]) -> bool:
    return isinstance(node.op, ops.Convert) and node.op.destination_type.is_real
