"""Store weights as small integers with scales, in the forms that the runtime's products and look-ups unpack.

The numbers decide nothing but scales: what is INT4 and what INT8 follows from the graph, as nncf does it without data.
"""

from __future__ import annotations

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
from modelbuild.tensor.quantized import Quantized
from modelbuild.tensor.storage import InMemory

NAME = "compress_to_integers"


def compress_to_int8(graph: Graph, trace: Trace, how: Compression) -> int:
    """Weights  ->  u8 (``asym``) or i8 (``sym``), one scale a channel, in bodies too; return how many."""
    made = _in_bodies(graph, trace, how)
    for weight in _found(graph, trace):
        if is_kept_from(weight.value, how.keep, Precision.INT8):
            trace.skipped(NAME, weight.name, BY_RULE)
        else:
            made += _compress(graph, weight, per_channel(how.int8), trace)
    return made


def compress_to_int4(graph: Graph, trace: Trace, how: Compression) -> tuple[int, int]:
    """Weights of matrix products  ->  i4 (``sym``) or u4 (``asym``), one scale a group; others as in INT8.

    Return how many got four bits, and how many eight.
    """
    fours, eights = 0, _in_bodies(graph, trace, how)
    found = _found(graph, trace)
    forms = four_bit_forms(found, how)
    for weight in found:
        if is_kept_from(weight.value, how.keep, Precision.INT8):
            trace.skipped(NAME, weight.name, BY_RULE)
        elif form := forms.get(weight.value):
            fours += _compress(graph, weight, form, trace)
        else:
            eights += _compress(graph, weight, per_channel(how.int8), trace)
    return fours, eights


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
    steps = form.steps(weight)
    if isinstance(steps, Skip):
        trace.skipped(NAME, weight.name, steps.why)
        return False
    integers = Quantized(form.source(weight), form.dtype, steps.scales, steps.zero_points)
    graph.replace(weight.value, _unpacked(weight, integers))
    trace.applied(NAME, weight.name)
    return True


def _unpacked(weight: Weight, integers: Quantized) -> Value:
    """(integers - zero points) * scales, as nncf writes it: the runtime knows weights by this form."""
    full, name, origin = weight.value.fact.dtype, weight.name, weight.value.producer.origin
    between = integers.scales.dtype

    def make(op: Op, *inputs: Value, part: str) -> Value:
        return Node(op, inputs, f"{name}/{part}", origin).output

    value = make(Const(integers), part="compressed")
    value = make(ops.Convert(between), value, part="converted")
    if integers.zero_points is not None:
        zero = make(Const(integers.zero_points), part="zero_point")
        zero = make(ops.Convert(between), zero, part="zero_point/converted")
        value = make(ops.Subtract(), value, zero, part="zero_point/subtract")
    value = make(ops.Multiply(), value, make(Const(integers.scales), part="scale"), part="scaled")
    if integers.shape != weight.tensor.shape:
        shape = make(Const(InMemory(np.array(weight.tensor.shape, np.int64))), part="shape")
        value = make(ops.Reshape(), value, shape, part="ungrouped")
    if between is not full:
        value = make(ops.Convert(full), value, part="full")
    value.producer.name = name
    return value
