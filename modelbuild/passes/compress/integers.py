"""Store weights as small integers with scales, in the forms that the runtime's products and look-ups unpack.

The numbers decide nothing but scales: what is INT4 and what INT8 follows from the graph, as nncf does it without data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.copy import copy
from modelbuild.graph.structure import Const
from modelbuild.passes.compress.choice import Form, four_bit_forms, per_channel
from modelbuild.passes.compress.keep import BY_RULE, is_kept_from
from modelbuild.passes.compress.sensitive import INTO_LOGARITHM, before_logarithms
from modelbuild.passes.compress.steps import Steps
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
    form = per_channel(how.int8)
    return made + len(_compress(graph, dict.fromkeys(_found(graph, trace), form), trace, how))


def compress_to_int4(graph: Graph, trace: Trace, how: Compression) -> tuple[int, int]:
    """Weights of matrix products  ->  i4 (``sym``) or u4 (``asym``), one scale a group; others as in INT8.

    Return how many got four bits, and how many eight.
    """
    eights = _in_bodies(graph, trace, how)
    found = _found(graph, trace)
    fours = four_bit_forms(found, how)
    form = per_channel(how.int8)
    made = _compress(graph, {weight: fours.get(weight.value, form) for weight in found}, trace, how)
    return sum(form.dtype.bits == 4 for form in made), eights + sum(form.dtype.bits == 8 for form in made)


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


def _compress(graph: Graph, forms: Mapping[Weight, Form], trace: Trace, how: Compression) -> list[Form]:
    """Give the weights their forms, but for those that a rule keeps; return the forms that were given."""
    chosen: list[tuple[Weight, Form]] = []
    for weight, form in forms.items():
        if is_kept_from(weight.value, how.keep, Precision.INT8):
            trace.skipped(NAME, weight.name, BY_RULE)
        else:
            chosen.append((weight, form))
    made: list[Form] = []
    for (weight, form), steps in zip(chosen, _steps(chosen), strict=True):
        if isinstance(steps, Skip):
            trace.skipped(NAME, weight.name, steps.why)
            continue
        integers = Quantized(form.source(weight), form.dtype, steps.scales, steps.zero_points)
        graph.replace(weight.value, _unpacked(weight, integers))
        trace.applied(NAME, weight.name)
        made.append(form)
    return made


def _steps(chosen: Sequence[tuple[Weight, Form]]) -> Iterator[Steps | Skip]:
    """The steps of each, for which all numbers are read: two threads do that in little more than half the time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2, "steps") as threads:
        yield from threads.map(lambda one: one[1].steps(one[0]), chosen)


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
