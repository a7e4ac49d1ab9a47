"""Store real weights as f16 or bf16 with a Convert back, as the runtime's own compression does.

Constants that decide shapes, ranges or quantisation stay as they are: rounding them changes more than last digits.
So do constants that f16 cannot hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.passes.compress.keep import BY_RULE, is_kept_from
from modelbuild.passes.compress.sensitive import INTO_LOGARITHM, angles, before_logarithms
from modelbuild.rewrite import Trace
from modelbuild.targets.compression import Keep
from modelbuild.targets.precision import Precision
from modelbuild.tensor.derived import Cast, Reshaped, Scaled, Transposed
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.pieces import GLANCE
from modelbuild.tensor.storage import Tensor

LARGEST: Final = 65504.0
"""The largest finite f16."""

SMALLEST: Final = 2.0**-14
"""Below this f16 loses digits, and in the end everything: the epsilon of a normalization would be zero."""

VANISHING: Final = 2.0**-24
"""Below this f16 has nothing: a divisor would be zero."""

_FULL: Final = (ElementType.f32, ElementType.f64)
_SCALES: Final = (ops.Multiply, ops.Subtract)
_PRODUCTS: Final = (ops.Convolution, ops.GroupConvolution, ops.ConvolutionBackpropData, ops.MatMul)
_DEQUANTIZES: Final = (ops.Subtract, ops.Multiply, ops.Reshape)

LISTED: Final = 5
"""How many constants a note names."""


def compress_to_fp16(graph: Graph, trace: Trace, keep: Sequence[Keep] = (), *, trusting: bool = False) -> int:
    """Const f32  ->  Convert(Const f16), in bodies too; return how many constants.

    Where ``trusting``, large constants are taken to be within the range of f16 and not read for it: if they are not,
    whoever reads them then meets :class:`BeyondRange`, and has to ask again without trust.
    """
    beyond: list[str] = []

    def why_not(value: Value, tensor: Tensor) -> str | None:
        if is_kept_from(value, keep, Precision.FP16):
            return BY_RULE
        why = _beyond_half(value, tensor, trusting=trusting)
        if why and tensor.size > 1:
            beyond.append(f"{value} {why}")
        return why

    made = _store(graph, _Form("compress_to_fp16", ElementType.f16, _decisive, why_not, strict=trusting), trace)
    if beyond:
        more = f" and {len(beyond) - LISTED} more" if len(beyond) > LISTED else ""
        graph.notes.append(f"what f16 cannot hold stays as it is: {', '.join(beyond[:LISTED])}{more}")
    return made


def compress_to_bf16(graph: Graph, trace: Trace, keep: Sequence[Keep] = ()) -> int:
    """Const f32  ->  Convert(Const bf16), in bodies too; return how many constants.

    Vectors stay: biases and what normalizes need more than eight bits, and gain nothing. So do spectra.
    """

    def held(graph: Graph) -> Mapping[Value, str]:
        return {**dict.fromkeys(before_logarithms(graph), INTO_LOGARITHM), **_decisive(graph)}

    def why_not(value: Value, tensor: Tensor) -> str | None:
        if is_kept_from(value, keep, Precision.BF16):
            return BY_RULE
        return "it is no matrix" if sum(extent > 1 for extent in tensor.shape) < 2 else None

    return _store(graph, _Form("compress_to_bf16", ElementType.bf16, held, why_not), trace)


@dataclass(frozen=True, slots=True)
class _Form:
    """What stays as it is: ``held`` says it by the place in a graph, ``why_not`` by rules and numbers."""

    name: str
    dtype: ElementType
    held: Callable[[Graph], Mapping[Value, str]]
    why_not: Callable[[Value, Tensor], str | None]
    strict: bool = False


def _store(graph: Graph, form: _Form, trace: Trace) -> int:
    held = form.held(graph)
    made = 0
    for node in graph.nodes():
        if bodies := node.op.bodies():
            new = tuple(copy(body) for body in bodies)
            made += sum(_store(body, form, trace) for body in new)
            node.op = node.op.with_bodies(*new)
        elif isinstance(node.op, Const) and node.op.value.dtype in _FULL:
            if why := held.get(node.output) or form.why_not(node.output, node.op.value):
                trace.skipped(form.name, node.name, why)
            else:
                trace.applied(form.name, node.name)
                _compress(graph, node.output, Cast(node.op.value, form.dtype, strict=form.strict))
                made += 1
    return made


def _compress(graph: Graph, full: Value, content: Tensor) -> None:
    node = full.producer
    half = Node(Const(content), (), f"{node.name}_compressed", node.origin).output
    convert = Node(ops.Convert(full.fact.dtype, decompression=True), (half,), node.name, node.origin).output
    graph.replace(full, convert)


def _decisive(graph: Graph) -> Mapping[Value, str]:
    decided = dict.fromkeys(precise_values(graph), "it decides a shape, a range or a scale of quantisation")
    return {**dict.fromkeys(angles(graph), "it is an angle"), **decided}


def _beyond_half(value: Value, tensor: Tensor, *, trusting: bool) -> str | None:
    """Why f16 cannot hold a constant: what is too large would be cut off, what is too small would be zero."""
    is_small = tensor.nbytes <= GLANCE
    if is_small or (not trusting and _bound(tensor) > LARGEST) or not _reaches(tensor, SMALLEST):
        peak = _peak(tensor)
        if peak > LARGEST:
            return f"goes up to {peak:.5g}"
        if 0 < peak < SMALLEST:
            return f"goes no further than {peak:.2g}"
    if any(isinstance(node.op, ops.Divide) and place == 1 for node, place in value.uses) and _vanishes(tensor):
        return f"divides, and has numbers below {VANISHING:.1g}"
    return None


def _bound(tensor: Tensor) -> float:
    """What no finite number's magnitude exceeds, found without carrying out what makes the tensor of another."""
    match tensor:
        case Reshaped(source=source) | Transposed(source=source):
            return _bound(source)
        case Scaled(source=source, factors=factors):
            return _bound(source) * _peak(factors)
    return _peak(tensor)


def _reaches(tensor: Tensor, magnitude: float) -> bool:
    """Whether a finite number is at least so far from zero; nearly always one of the first is."""
    return any((np.isfinite(elements) & (np.abs(elements) >= magnitude)).any() for elements in tensor.arrays(GLANCE))


def _peak(tensor: Tensor) -> float:
    """The greatest magnitude of a finite number."""
    peak = 0.0
    for elements in tensor.arrays(GLANCE):
        found = float(np.maximum.reduce(np.abs(elements), initial=0))
        if not math.isfinite(found):
            found = float(np.abs(elements[np.isfinite(elements)]).max(initial=0))
        peak = max(peak, found)
    return peak


def _vanishes(tensor: Tensor) -> bool:
    """Whether a number that is not zero would be."""
    return any(((elements != 0) & (np.abs(elements) < VANISHING)).any() for elements in tensor.arrays())


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
    if isinstance(node.op, _SCALES) and any(map(_is_dequantized, node.inputs)):
        return tuple(range(len(node.inputs)))
    if isinstance(node.op, ops.Add) and any(map(_is_quantized_product, node.inputs)):
        return tuple(range(len(node.inputs)))
    return tuple(i for i in node.op.precise_inputs if i < len(node.inputs))


def _is_quantized_product(value: Value) -> bool:
    node = value.producer
    return isinstance(node.op, _PRODUCTS) and _is_dequantized(node.inputs[1])


def _is_dequantized(value: Value) -> bool:
    """Whether this is Convert [-> Subtract] [-> Multiply] [-> Reshape] of integers."""
    node = value.producer
    if isinstance(node.op, _DEQUANTIZES):
        return _is_dequantized(node.inputs[0])
    return isinstance(node.op, ops.Convert) and not node.inputs[0].fact.dtype.is_real
