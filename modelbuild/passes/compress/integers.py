"""Store weights as small integers with scales, in the forms that the runtime's products and look-ups unpack.

The numbers decide nothing but scales: what is INT4 and what INT8 follows from the graph, as nncf does it without data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.passes.compress.choice import Form, four_bit_forms, per_channel
from modelbuild.passes.compress.keep import BY_RULE, is_kept_from
from modelbuild.passes.compress.sensitive import INTO_LOGARITHM, before_logarithms
from modelbuild.passes.compress.weights import Weight, weights
from modelbuild.rewrite import Skip, Trace
from modelbuild.targets.compression import Compression
from modelbuild.targets.precision import Precision
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.quantized import RANGES, Quantized, extremes
from modelbuild.tensor.storage import Cast, InMemory, Reshaped, Tensor

NAME = "compress_to_integers"

LARGEST: Final = 2.0**100
"""A scale beyond this, or a number that is none, leaves a weight as it is."""

SMALLEST: Final = 2.0**-100
"""What would need a smaller scale than this is zero."""


def compress_to_int8(graph: Graph, trace: Trace, how: Compression) -> int:
    """Weights  ->  u8 (``asym``) or i8 (``sym``), one scale a channel, in bodies too; return how many."""
    made = _in_bodies(graph, trace, how)
    for weight in _found(graph, trace):
        if is_kept_from(weight.value, how.keep, Precision.INT8):
            trace.skipped(NAME, weight.name, BY_RULE)
        else:
            made += _compress(graph, weight, per_channel(how.int8), trace)
    return made


def compress_to_int4(graph: Graph, trace: Trace, how: Compression) -> int:
    """Weights of matrix products  ->  i4 (``sym``) or u4 (``asym``), one scale a group; others as in INT8."""
    made = _in_bodies(graph, trace, how)
    found = _found(graph, trace)
    forms = four_bit_forms(found, how)
    for weight in found:
        if is_kept_from(weight.value, how.keep, Precision.INT8):
            trace.skipped(NAME, weight.name, BY_RULE)
        else:
            made += _compress(graph, weight, forms.get(weight.value, per_channel(how.int8)), trace)
    return made


def _in_bodies(graph: Graph, trace: Trace, how: Compression) -> int:
    """A body runs many times, and what is lost adds up: it gets INT8 at least."""
    made = 0
    for node in graph.nodes():
        if bodies := node.op.bodies():
            new = tuple(copy(body) for body in bodies)
            made += sum(compress_to_int8(body, trace, how) for body in new)
            node.op = node.op.with_bodies(*new)
    return made


def _found(graph: Graph, trace: Trace) -> list[Weight]:
    spectra = before_logarithms(graph)
    found: list[Weight] = []
    for one in weights(graph):
        if not isinstance(one, Weight):
            value, why = one
            trace.skipped(NAME, value.producer.name, why.why)
        elif one.value in spectra:
            trace.skipped(NAME, one.name, INTO_LOGARITHM)
        else:
            found.append(one)
    return found


def _compress(graph: Graph, weight: Weight, form: Form, trace: Trace) -> bool:
    tensor = weight.tensor
    exact = tensor if tensor.dtype is ElementType.f32 else Cast(tensor, ElementType.f32)
    source = Reshaped(exact, form.grouped(weight)) if form.group else exact
    shared = form.shared(weight)
    steps = _steps(*extremes(source, shared), form.dtype)
    if isinstance(steps, Skip):
        trace.skipped(NAME, weight.name, steps.why)
        return False
    graph.replace(weight.value, _unpacked(weight, source, steps, form.dtype))
    trace.applied(NAME, weight.name)
    return True


@dataclass(frozen=True, slots=True)
class _Steps:
    scales: InMemory
    zero_points: InMemory | None


def _steps(least: Array, most: Array, dtype: ElementType) -> _Steps | Skip:
    """Scales for numbers from ``least`` to ``most``, f16 where that holds all of them and all numbers, else f32.

    Without zero points, what is farthest from zero becomes the least integer, of which there is one more than of
    positive ones: its scale is negative if that number is positive.
    """
    least, most = least.astype(np.float64), most.astype(np.float64)
    lowest, highest = RANGES[dtype]
    if lowest < 0:
        scales = np.where(-least >= most, least, most) / lowest
    else:
        least, most = np.minimum(least, 0), np.maximum(most, 0)
        scales = (most - least) / highest
    sizes = np.abs(scales)
    if not (sizes <= LARGEST).all():  # so that a NaN fails too
        return Skip("it holds a number that is none, infinite or huge")
    scales[sizes < SMALLEST] = 1
    half = np.finfo(np.float16)
    peak = max(np.abs(least).max(), np.abs(most).max())
    fits = np.abs(scales).min() >= half.smallest_normal and max(np.abs(scales).max(), peak) <= half.max
    rounded = scales.astype(np.float32).astype(np.float16 if fits else np.float32)
    if lowest < 0:
        return _Steps(InMemory(rounded), None)
    zeros = np.clip(np.rint(-least / rounded.astype(np.float64)), lowest, highest)
    return _Steps(InMemory(rounded), InMemory(zeros.astype(np.uint8).astype(dtype.numpy)))


def _unpacked(weight: Weight, source: Tensor, steps: _Steps, dtype: ElementType) -> Value:
    """(integers - zero points) * scales, as nncf writes it: the runtime knows weights by this form."""
    full, name, origin = weight.value.fact.dtype, weight.name, weight.value.producer.origin
    between = steps.scales.dtype

    def make(op: Op, *inputs: Value, part: str) -> Value:
        return Node(op, inputs, f"{name}/{part}", origin).output

    value = make(Const(Quantized(source, dtype, steps.scales, steps.zero_points)), part="compressed")
    value = make(ops.Convert(between), value, part="converted")
    if steps.zero_points is not None:
        zero = make(Const(steps.zero_points), part="zero_point")
        zero = make(ops.Convert(between), zero, part="zero_point/converted")
        value = make(ops.Subtract(), value, zero, part="zero_point/subtract")
    value = make(ops.Multiply(), value, make(Const(steps.scales), part="scale"), part="scaled")
    if source.shape != weight.tensor.shape:
        shape = make(Const(InMemory(np.array(weight.tensor.shape, np.int64))), part="shape")
        value = make(ops.Reshape(), value, shape, part="ungrouped")
    if between is not full:
        value = make(ops.Convert(full), value, part="full")
    value.producer.name = name
    return value
