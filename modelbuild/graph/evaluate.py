"""Run a graph with numpy: the reference meaning that every rewrite keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelbuild.graph.graph import Graph, Value
from modelbuild.tensor.dtype import Array


def evaluate(graph: Graph, feeds: Sequence[Array]) -> list[Array]:
    """The outputs for one array an input; raises ``NotImplementedError`` for an operation without a numpy meaning."""
    known: dict[Value, Array] = dict(zip(graph.inputs, feeds, strict=True))
    with np.errstate(all="ignore"):
        for node in graph:
            if node.outputs[0] in known:
                continue
            made = node.op.evaluate(*(known[v] for v in node.inputs))
            results = made if isinstance(made, tuple) else (made,)
            known.update(zip(node.outputs, map(np.asarray, results), strict=True))
    return [known[v] for v in graph.outputs]
