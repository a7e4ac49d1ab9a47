"""Move what prepares a model's input into the weights of its first convolution: reversed channels, scales, and means.

What stands between later layers is the model's own and left as it is. Padding is zero behind the preparation: a scale
and an order of channels leave it zero; a mean does not, so that only goes where there is no padding.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from modelbuild import ops
from modelbuild.graph import Node, Value
from modelbuild.graph.structure import Parameter
from modelbuild.ops.convolution import Padding, Window
from modelbuild.passes.fuse.scale import per_channel, scale_axes
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, Trace, anything, constant, of, rule, scalar
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory, Tensor

LARGEST_REORDERED: Final = 1 << 24
"""Bytes of filters that are put into another order; the first layer of a model has few."""

_INPUT: Final = 1
"""The axis of the channels in the data, and of the input channels in filters O,I,k…"""

x, filters, factors, means, channels, axis = anything(), constant(), constant(), constant(), constant(), scalar()


_PREPARES: Final = (ops.Convert, ops.Divide, ops.Gather, ops.Multiply, ops.Subtract, ops.Transpose)


def _comes_in(value: Value) -> bool:
    """Whether this is an input of the model, or one that is prepared."""
    while isinstance(value.producer.op, _PREPARES):
        value = value.producer.inputs[0]
    return isinstance(value.producer.op, Parameter)


def _scale(kind: type[ops.Multiply | ops.Divide], sign: str) -> Rule:
    prepared = of(kind, x, factors)
    root = of(ops.Convolution, prepared, filters)

    def fold(m: Match, g: Rewriter) -> Value | Skip | None:
        if not _comes_in(m[x]):
            return None
        w = m[filters]
        numbers = _per_input(m[factors], w)
        if isinstance(numbers, Skip):
            return numbers
        if kind is ops.Divide:
            numbers = InMemory(np.reciprocal(numbers.array))
        return g(m[root].op, m[x], _as_before(g, m, scale_axes(w, numbers, _INPUT, 1)))

    fold.__doc__ = f"conv(x {sign} s, W)  ->  conv(x, W {sign} s)"
    return Rule(f"{kind.__name__.lower()}_filters_instead", root, fold)


reordered = of(ops.Gather, x, channels, axis)
shifted = of(ops.Subtract, x, means)
convolved = of(ops.Convolution, shifted, filters)


@rule(convolved)
def shift_output_instead(m: Match, g: Rewriter) -> Value | Skip | None:
    """conv(x - m, W)  ->  conv(x, W) + shift, the shift being minus the sum of W * m, where nothing is padded"""
    if not _comes_in(m[x]):
        return None
    w, op = m[filters], m[convolved].op
    numbers = _per_input(m[means], w)
    if isinstance(numbers, Skip):
        return numbers
    if _pads(op.window):
        return Skip("padding is zero behind the mean and would not be before it")
    shifts = _shifts(w.numpy(), numbers.array)
    spread = shifts.astype(w.dtype.numpy).reshape(1, -1, *[1] * (len(w.shape) - 2))
    return g(ops.Add(), g(op, m[x], m.value(filters)), g.constant(spread, "shift"))


def _pads(window: Window) -> bool:
    if window.auto_pad is Padding.EXPLICIT:
        return any((*window.pads_begin, *window.pads_end))
    return window.auto_pad.is_same


def _shifts(w: Array, numbers: Array) -> Array:
    """Exactly rounded sums: the same on every machine."""
    products = w.astype(np.float64) * numbers.astype(np.float64).reshape(-1, *[1] * (w.ndim - 2))
    return np.array([-math.fsum(one.flat) for one in products])


ordered = of(ops.Convolution, reordered, filters)


@rule(ordered)
def reorder_filters_instead(m: Match, g: Rewriter) -> Value | Skip | None:
    """conv(x in another order of channels, W)  ->  conv(x, W in the order that undoes it)"""
    w, order = m[filters], _order(m)
    if not _comes_in(m[x]) or order is None or order.size != w.shape[_INPUT]:
        return None
    if w.nbytes > LARGEST_REORDERED:
        return Skip(f"the filters take {w.nbytes} bytes; only small ones are put into another order")
    content = np.ascontiguousarray(np.take(w.numpy(), np.argsort(order), _INPUT))
    return g(m[ordered].op, m[x], _as_before(g, m, InMemory(content)))


reordered_and_shifted = of(ops.Subtract, reordered, means)


@rule(reordered_and_shifted)
def shift_before_reordering(m: Match, g: Rewriter) -> Value | Skip | None:
    """(x in another order) - m  ->  (x - m) in another order, where filters can take the order in"""
    order, root = _order(m), m[reordered_and_shifted]
    if not _comes_in(m[x]) or order is None or any(not isinstance(user.op, ops.Convolution) for user in root.users):
        return None
    rank = root.output.fact.rank
    numbers = None if rank is None else per_channel(m[means], channels=order.size, rank=rank, axis=_INPUT)
    if numbers is None or rank is None:
        return Skip(f"mean {list(m[means].shape)} is not one number per channel")
    content = numbers.array[np.argsort(order)].reshape(-1, *[1] * (rank - 2))
    gather: Node[ops.Gather] = m[reordered]
    return g(gather.op, g(root.op, m[x], g.constant(content, "mean")), m.value(channels), m.value(axis))


def _order(m: Match) -> Array | None:
    """The order into which the channels are put, if that is all that is done."""
    order, shape = m[channels].numpy(), m[x].fact.shape
    if shape is None or len(shape) <= _INPUT or order.ndim != 1:
        return None
    if int(m[axis].numpy().item()) not in {_INPUT, _INPUT - len(shape)}:
        return None
    return order if shape[_INPUT] == order.size and np.array_equal(np.sort(order), np.arange(order.size)) else None


def _per_input(numbers: Tensor, w: Tensor) -> InMemory | Skip:
    if w.dtype is not numbers.dtype or w.dtype not in {ElementType.f32, ElementType.f64}:
        return Skip("the filters are not real numbers of the same type")
    found = per_channel(numbers, channels=w.shape[_INPUT], rank=len(w.shape), axis=_INPUT)
    return found or Skip(f"{list(numbers.shape)} is not one number per input channel")


def _as_before(g: Rewriter, m: Match, content: Tensor) -> Value:
    """Filters under the names of those that they stand for."""
    made = g.constant(content, "weights")
    made.names = m.value(filters).names if m.value(filters).used_once else ()
    return made


_MULTIPLY, _DIVIDE = _scale(ops.Multiply, "*"), _scale(ops.Divide, "/")

RULES = (_MULTIPLY, _DIVIDE, shift_output_instead, shift_before_reordering, reorder_filters_instead)

_DONE: Final = {
    reorder_filters_instead.name: "the order of an input's channels is in the filters of the convolution behind it",
    shift_output_instead.name: "the mean of an input is in the shift of the convolution behind it",
    _MULTIPLY.name: "the scale of an input is in the filters of the convolution behind it",
    _DIVIDE.name: "the scale of an input is in the filters of the convolution behind it",
}


def notes(trace: Trace) -> tuple[str, ...]:
    """What became of the preparation of inputs, for a person."""
    return tuple(dict.fromkeys(told for rule, told in _DONE.items() if trace.count(rule)))
