"""Graphs of one operation each, for every operation that there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import arithmetic
import moves
import numpy as np
import specialists

from modelbuild.graph import Graph, Node
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory

CASES: Final = [*arithmetic.CASES, *moves.CASES, *specialists.CASES]


def uses(case: moves.Case) -> Iterator[tuple[Graph, dict[str, Array]]]:
    """The operation on one open input, then on as many as hold real numbers; and what to feed."""
    open_ones = [i for i, array in enumerate(case.inputs) if i == 0 or array.dtype.kind == "f"]
    for chosen in dict.fromkeys((tuple(open_ones[:1]), tuple(open_ones))):
        values = [
            Node(Parameter(ElementType.of(array.dtype), array.shape), (), f"p{i}", names=[f"p{i}"]).output
            if i in chosen
            else Node(Const(InMemory(np.array(array, order="C"))), (), f"c{i}").output
            for i, array in enumerate(case.inputs)
        ]
        node = Node(case.op, values, "it")
        for i, value in enumerate(node.outputs):
            value.names = (f"y{i}",)
        yield Graph([values[i] for i in chosen], node.outputs), {f"p{i}": case.inputs[i] for i in chosen}
