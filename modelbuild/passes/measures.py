"""What of a node a device may limit, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from modelbuild import ops
from modelbuild.graph import Node, Op, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.tensor.shape import Dim

Anything = Node[Any]


def _batch(node: Anything) -> Iterator[Dim]:
    """The extent of an input's axis N, which is the first where nothing is said."""
    shape = node.output.fact.shape if isinstance(node.op, Parameter) else None
    if shape is None or len(shape) < 2:
        return
    letters = node.op.layout.strip("[]").split(",")
    if len(letters) != len(shape):
        yield shape[0]
    elif "N" in letters:
        yield shape[letters.index("N")]


def _dilation(node: Anything) -> Iterator[Dim]:
    window: ops.Window | None = getattr(node.op, "window", None)
    if window is not None:
        yield max(window.dilations, default=1)


def _exchanged(node: Anything) -> Iterator[Dim]:
    """Of the axes that a Transpose puts into another order, the second largest extent; 1 if elements stay in order."""
    shape, order = node.inputs[0].fact.shape, node.inputs[1].fact.ints
    if shape is None or order is None:
        return
    order = order or tuple(reversed(range(len(shape))))
    extents = [shape[axis] for axis in order if shape[axis] != 1]
    kept = [axis for axis in order if shape[axis] != 1]
    moved = [extent for extent, axis, place in zip(extents, kept, sorted(kept), strict=True) if axis != place]
    numbers = sorted(extent for extent in moved if isinstance(extent, int))
    yield numbers[-2] if len(numbers) > 1 else 1


def _groups(node: Anything) -> Iterator[Dim]:
    if isinstance(node.op, ops.GroupConvolution | ops.GroupConvolutionBackpropData):
        yield from (node.inputs[1].fact.shape or ())[:1]


def _open_inputs(node: Anything) -> Iterator[Dim]:
    """How many inputs are broadcast that are not constants."""
    made = node.outputs[0].fact.shape
    yield sum(v.fact.shape != made and not _is_constant(v) for v in node.inputs)


def _open_operands(node: Anything) -> Iterator[Dim]:
    """How many of the inputs from the second on are not constants."""
    yield sum(not _is_constant(v) for v in node.inputs[1:])


def _is_constant(value: Value) -> bool:
    """Whether this is a constant, or one that is stored in fewer bits."""
    node = value.producer
    return isinstance(node.op, Const) or (isinstance(node.op, ops.Convert) and _is_constant(node.inputs[0]))


def _output_channels(node: Anything) -> Iterator[Dim]:
    shape = node.inputs[1].fact.shape if len(node.inputs) > 1 else None
    match node.op:
        case ops.Convolution() if shape:
            yield shape[0]
        case ops.GroupConvolution() if shape:
            yield shape[0] * shape[1]
        case ops.ConvolutionBackpropData() if shape:
            yield shape[1]
        case ops.GroupConvolutionBackpropData() if shape:
            yield shape[0] * shape[2]


def _rank(node: Anything) -> Iterator[Dim]:
    yield max([len(v.fact.shape or ()) for v in (*node.inputs, *node.outputs)], default=0)


def _slopes(node: Anything) -> Iterator[Dim]:
    if isinstance(node.op, ops.PRelu) and node.inputs[1].fact.static_shape is not None:
        total = 1
        for extent in node.inputs[1].fact.static_shape:
            total *= extent
        yield total


def _spatial_axes(node: Anything) -> Iterator[Dim]:
    if node.inputs and node.inputs[0].fact.rank is not None:
        yield node.inputs[0].fact.rank - 2


MEASURES: Final[dict[str, tuple[str, Callable[[Node[Op]], Iterator[Dim]]]]] = {
    "batch": ("a batch of", _batch),
    "dilation": ("a dilation of", _dilation),
    "exchanged": ("exchanged axes, the smaller of extent", _exchanged),
    "groups": ("groups:", _groups),
    "open_inputs": ("inputs broadcast that are no constants:", _open_inputs),
    "open_operands": ("operands that are no constants:", _open_operands),
    "output_channels": ("output channels:", _output_channels),
    "rank": ("axes:", _rank),
    "slopes": ("slopes:", _slopes),
    "spatial_axes": ("spatial axes:", _spatial_axes),
}
"""By name: how it is told, and how it is taken. What a node has not, or what is not known of it, is not limited."""
