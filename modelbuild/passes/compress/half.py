"""Store real weights as f16 with a Convert back, as the runtime's own compression does.

Constants that decide shapes, ranges or quantisation stay as they are: rounding them changes more than last digits.
So do constants that f16 cannot hold.
"""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Trace
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import Cast, Tensor

NAME = "compress_to_fp16"
LARGEST = 65504.0
"""The largest finite f16."""

SMALLEST = 2.0**-14
"""Below this f16 loses digits, and in the end everything: the epsilon of a normalization would be zero."""

LOOK_BYTES = 1 << 14
"""Constants up to this size are looked through for what f16 cannot hold; in larger ones such numbers saturate."""


def compress_to_fp16(graph: Graph, trace: Trace) -> int:
    """Const f32  ->  Convert(Const f16), in bodies too; return how many constants."""
    precise = precise_values(graph)
    made = 0
    for node in graph.nodes():
        if bodies := node.op.bodies():
            new = tuple(copy(body) for body in bodies)
            made += sum(compress_to_fp16(body, trace) for body in new)
            node.op = node.op.with_bodies(*new)
        elif isinstance(node.op, Const) and node.op.value.dtype in {ElementType.f32, ElementType.f64}:
            why = _why_not(node.op.value, node.output, precise)
            if why:
                trace.skipped(NAME, node.name, why)
            else:
                trace.applied(NAME, node.name)
                _compress(graph, node.output, node.op.value)
                made += 1
    return made


def _why_not(tensor: Tensor, value: Value, precise: frozenset[Value]) -> str | None:
    if value in precise:
        return "it decides a shape, a range or a scale of quantisation"
    if 0 < tensor.nbytes <= LOOK_BYTES:
        content = tensor.numpy()
        finite = content[np.isfinite(content)]
        peak = np.abs(finite).max(initial=0)
        if peak > LARGEST or 0 < peak < SMALLEST:
            return "f16 cannot hold it"
    return None


def _compress(graph: Graph, full: Value, content: Tensor) -> None:
    node = full.producer
    half = Node(Const(Cast(content, ElementType.f16)), (), f"{node.name}_compressed", node.origin).output
    convert = Node(ops.Convert(full.fact.dtype, decompression=True), (half,), node.name, node.origin).output
    graph.replace(full, convert)


def precise_values(graph: Graph) -> frozenset[Value]:
    """The values that must keep their digits: what precise inputs are computed from, as far as it is vectors."""
    found: dict[Value, None] = {}
    pending = [node.inputs[i] for node in graph.nodes() for i in precise_inputs(node)]
    while pending:
        value = pending.pop()
        if value in found:
            continue
        found[value] = None
        if not isinstance(value.producer.op, ops.ShapeOf):
            pending.extend(v for v in value.producer.inputs if v.fact.rank is not None and v.fact.rank <= 1)
    return frozenset(found)


def precise_inputs(node: Node[Op]) -> tuple[int, ...]:
    """The inputs of a node that must keep their digits.

    The scale and zero point of a dequantisation are among them, and the bias of a product with quantised weights: the
    sum is in steps of the scales, and a bias rounded to f16 is some steps off.
    """
    if isinstance(node.op, ops.Multiply | ops.Subtract) and any(map(_is_dequantized, node.inputs)):
        return tuple(range(len(node.inputs)))
    if isinstance(node.op, ops.Add) and any(map(_is_quantized_product, node.inputs)):
        return tuple(range(len(node.inputs)))
    return tuple(i for i in node.op.precise_inputs if i < len(node.inputs))


def _is_quantized_product(value: Value) -> bool:
    node = value.producer
    products = ops.Convolution | ops.GroupConvolution | ops.ConvolutionBackpropData | ops.MatMul
    return isinstance(node.op, products) and _is_dequantized(node.inputs[1])


def _is_dequantized(value: Value) -> bool:
    """Whether this is Convert [-> Subtract] [-> Multiply] [-> Reshape] of integers."""
    node = value.producer
    if isinstance(node.op, ops.Subtract | ops.Multiply | ops.Reshape):
        return _is_dequantized(node.inputs[0])
    return isinstance(node.op, ops.Convert) and not node.inputs[0].fact.dtype.is_real
