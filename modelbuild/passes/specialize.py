"""What an artifact asks of a graph beyond what all artifacts share: its device's limits and its precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelbuild.errors import BuildError, UsageError
from modelbuild.graph import Graph
from modelbuild.passes.compress.half import compress_to_bf16, compress_to_fp16
from modelbuild.passes.compress.integers import compress_to_int4, compress_to_int8
from modelbuild.passes.compress.keep import expect_layers
from modelbuild.passes.compress.quantized import expect_real_weights
from modelbuild.rewrite import Trace
from modelbuild.targets.compression import Compression
from modelbuild.targets.precision import Precision
from modelbuild.tensor.shape import show_shape

LISTED = 5
"""How many of the offending nodes an error names."""

DEFAULT: Final = Compression()


def specialize(
    graph: Graph, *, precision: str, static_shapes: bool = False, compression: Compression = DEFAULT
) -> Trace:
    """Bring ``graph`` into the form that a target and a precision ask for, in place.

    Raises :class:`BuildError` where shapes must be static and are not, naming the inputs that would have to be given a
    shape, or where a model is quantised already; and :class:`UsageError` for a precision that cannot be built, or a
    rule that holds for nothing.
    """
    trace = Trace()
    if static_shapes:
        demand_static_shapes(graph)
    if precision not in _STORED:
        raise UsageError(f"precision {precision} is not built yet; {', '.join(_STORED)} are")
    expect_layers(graph, compression.keep)
    _STORED[Precision(precision)](graph, trace, compression)
    return trace


def _store_fp16(graph: Graph, trace: Trace, how: Compression) -> None:
    compress_to_fp16(graph, trace, how.keep)


def _store_bf16(graph: Graph, trace: Trace, how: Compression) -> None:
    compress_to_bf16(graph, trace, how.keep)


def _store_int8(graph: Graph, trace: Trace, how: Compression) -> None:
    """What is no weight is stored as in FP16."""
    expect_real_weights(graph, Precision.INT8)
    if not compress_to_int8(graph, trace, how):
        graph.notes.append("INT8: there is no weight that it is for")
    compress_to_fp16(graph, trace, how.keep)


def _store_int4(graph: Graph, trace: Trace, how: Compression) -> None:
    expect_real_weights(graph, Precision.INT4)
    if not compress_to_int4(graph, trace, how):
        graph.notes.append("INT4: there is no weight that it is for")
    compress_to_fp16(graph, trace, how.keep)


def _store_fp32(graph: Graph, trace: Trace, how: Compression) -> None:
    """All is as it was."""


_STORED: Final[dict[Precision, Callable[[Graph, Trace, Compression], None]]] = {
    Precision.FP32: _store_fp32,
    Precision.FP16: _store_fp16,
    Precision.BF16: _store_bf16,
    Precision.INT8: _store_int8,
    Precision.INT4: _store_int4,
}


def demand_static_shapes(graph: Graph) -> None:
    """Raise :class:`BuildError` unless every value has a static shape."""
    open_inputs = [v for v in graph.inputs if not v.fact.is_static]
    if open_inputs:
        shown = ", ".join(f"{v} {show_shape(v.fact.shape)}" for v in open_inputs)
        raise BuildError(f"shapes are to be static; give a shape to the input(s) {shown}")
    moving = [v for node in graph.nodes() for v in node.outputs if not v.fact.is_static]
    if moving:
        shown = ", ".join(f"{v} {show_shape(v.fact.shape)} of {v.producer.origin}" for v in moving[:LISTED])
        more = f" and {len(moving) - LISTED} more" if len(moving) > LISTED else ""
        raise BuildError(f"shapes are to be static; those of {shown}{more} depend on the content of the inputs")
