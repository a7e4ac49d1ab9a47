"""Layers that stay as they are when activations are quantised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.structure import Const
from modelbuild.passes.compress.keep import is_kept_from
from modelbuild.passes.compress.sensitive import before_logarithms, magnitudes
from modelbuild.targets.compression import Keep
from modelbuild.targets.precision import Precision

_RECURRENT: Final = (
    ops.GRUCell, ops.GRUSequence, ops.LSTMCell, ops.LSTMSequence, ops.RNNCell, ops.RNNSequence,
)  # fmt: skip


def exempt(graph: Graph, rules: Sequence[Keep]) -> Iterator[Node[Op]]:
    """The nodes that a rule keeps from eight bits, and those of which eight bits would leave too little.

    These are spectra, in which small numbers count, and recurrent layers, in which errors add up from step to step.
    """
    spectra = before_logarithms(graph) | magnitudes(graph)
    for node in graph.nodes():
        weights = [value for value in node.inputs if isinstance(value.producer.op, Const)]
        is_kept = any(is_kept_from(value, rules, Precision.INT8) for value in weights)
        is_spectral = bool(node.inputs) and any(value in spectra for value in node.outputs)
        if is_kept or is_spectral or isinstance(node.op, _RECURRENT):
            yield node
