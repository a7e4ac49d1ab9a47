"""What an artifact asks of a graph beyond what all artifacts share: its device's limits and its precision."""

from __future__ import annotations

from modelbuild.errors import BuildError, UsageError
from modelbuild.graph import Graph
from modelbuild.passes.compress.half import compress_to_fp16
from modelbuild.rewrite import Trace
from modelbuild.tensor.shape import show_shape

LISTED = 5
"""How many of the offending nodes an error names."""


def specialize(graph: Graph, *, precision: str, static_shapes: bool = False) -> Trace:
    """Bring ``graph`` into the form that a target and a precision ask for, in place.

    Raises :class:`BuildError` where shapes must be static and are not, naming the inputs that would have to be given a
    shape, and :class:`UsageError` for a precision that cannot be built.
    """
    trace = Trace()
    if static_shapes:
        demand_static_shapes(graph)
    if precision == "FP16":
        compress_to_fp16(graph, trace)
    elif precision != "FP32":
        raise UsageError(f"precision {precision} is not built yet; FP32 and FP16 are")
    return trace


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
