"""Operations that ask for a shape, or give the same elements another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axes_of, expect_lists, known_axes, length, possible, unknown
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import (
    UNKNOWN,
    Dim,
    Expr,
    Shape,
    broadcast,
    decide_equal,
    divide_exactly,
    product,
    show_shape,
)


class ShapeOf(Op, frozen=True):
    output_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> Fact:
        if data.shape is None:
            return Fact(self.output_type, (UNKNOWN,))
        return Fact.of_elements(self.output_type, (len(data.shape),), data.shape)

    def evaluate(self, data: Array) -> Array:
        return np.array(data.shape, self.output_type.numpy)


class Reshape(Op, frozen=True):
    """The same elements in the shape of the second input: -1 is what is left, 0 the input's own if ``special_zero``."""

    special_zero: bool = False

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    list_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, pattern: Fact) -> Fact:
        expect_lists(pattern)
        wanted = pattern.elements
        if wanted is None:
            return Fact(data.dtype, unknown(length(pattern)))
        return Fact(data.dtype, _reshaped(data.shape, wanted, special_zero=self.special_zero))

    def evaluate(self, data: Array, pattern: Array) -> Array:
        wanted = [-1 if isinstance(d, Expr) else int(d) for d in pattern.reshape(-1)]
        if self.special_zero:
            wanted = [data.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
        if not data.size:
            wanted = [0 if d == -1 else d for d in wanted]
        return data.reshape(wanted)


def _reshaped(shape: Shape | None, wanted: Shape, *, special_zero: bool) -> Shape:
    """The shape that a pattern means; raises ``ValueError`` where the elements cannot fit."""
    if wanted.count(-1) > 1 or any(isinstance(d, int) and d < -1 for d in wanted):
        raise ValueError(f"{show_shape(wanted)} is no pattern for a shape")
    copied = [i for i, d in enumerate(wanted) if special_zero and d == 0]
    if shape is None:
        return tuple(UNKNOWN if i in copied or d == -1 else d for i, d in enumerate(wanted))
    if copied and copied[-1] >= len(shape):
        raise ValueError(f"the pattern {show_shape(wanted)} copies axis {copied[-1]} of {show_shape(shape)}")
    made = [shape[i] if i in copied else d for i, d in enumerate(wanted)]
    # What is unknown is as good as -1 if it is alone: the number of elements decides.
    gaps = [i for i, d in enumerate(wanted) if d == -1] or [i for i, d in enumerate(wanted) if d is UNKNOWN]
    above = [d for i, d in enumerate(shape) if i not in copied]
    below = [d for i, d in enumerate(wanted) if i not in (*copied, *gaps[:1])]
    if UNKNOWN in below:
        return tuple(UNKNOWN if d == -1 else d for d in made)
    try:
        if gaps:
            made[gaps[0]] = _quotient(above, below)
        elif decide_equal(product(above), product(below)) is False:
            raise ValueError(f"there are {product(above)} elements, not {product(below)}")
    except ValueError as why:
        raise ValueError(f"{show_shape(shape)} cannot become {show_shape(wanted)}: {why}") from why
    return tuple(made)


def _quotient(dividend: Sequence[Dim], divisor: Sequence[Dim]) -> Dim:
    """One product by another, which must leave no rest; raises ``ValueError`` where it leaves one."""
    above, below = list(dividend), []
    for d in divisor:
        if isinstance(d, Expr) and d in above:
            above.remove(d)
        else:
            below.append(d)
    elements, multiple = product(above), product(below)
    if multiple == 0:
        if isinstance(elements, int) and elements:
            raise ValueError(f"{elements} elements are no multiple of 0")
        return 0 if elements == 0 else UNKNOWN
    exact = divide_exactly(elements, multiple)
    if exact is not None:
        return exact
    if isinstance(elements, int) and isinstance(multiple, int):
        raise ValueError(f"{elements} elements are no multiple of {multiple}")
    return elements // multiple


class Squeeze(Op, frozen=True):
    """Without axes of extent 1: those that the second input names, or all."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, axes: Fact | None = None) -> Fact:
        shape = data.shape
        if shape is None:
            return Fact(data.dtype)
        if axes is None:
            known = not any(decide_equal(d, 1) is None for d in shape)
            return Fact(data.dtype, tuple(d for d in shape if decide_equal(d, 1) is False) if known else None)
        gone = known_axes(axes, len(shape))
        if gone is None:
            count = length(axes)
            return Fact(data.dtype, unknown(None if count is None else len(shape) - count))
        for axis in gone:
            if decide_equal(shape[axis], 1) is False:
                raise ValueError(f"axis {axis} of {data} is not 1")
        return Fact(data.dtype, tuple(d for i, d in enumerate(shape) if i not in gone))

    def evaluate(self, data: Array, axes: Array | None = None) -> Array:
        if axes is None:
            return data.squeeze()
        return data.squeeze(axes_of(axes.reshape(-1).tolist(), data.ndim))


class Unsqueeze(Op, frozen=True):
    """With new axes of extent 1, at places counted in the result."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, axes: Fact) -> Fact:
        count = length(axes)
        if data.shape is None or count is None:
            return Fact(data.dtype)
        rank = len(data.shape) + count
        new = known_axes(axes, rank)
        if new is None:
            return Fact(data.dtype, unknown(rank))
        old = iter(data.shape)
        return Fact(data.dtype, tuple(1 if i in new else next(old) for i in range(rank)))

    def evaluate(self, data: Array, axes: Array) -> Array:
        return np.expand_dims(data, axes_of(axes.reshape(-1).tolist(), data.ndim + axes.size))


class Broadcast(Op, frozen=True):
    """``data`` repeated along axes of extent 1 to a target shape.

    ``numpy`` aligns the last axes, ``bidirectional`` also lets the target's ones grow, ``explicit`` takes the axes of
    the target that ``data`` has from a third input.
    """

    mode: str = "numpy"

    version: ClassVar[str] = "opset3"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, data: Fact, target: Fact, mapping: Fact | None = None) -> Fact:
        wanted = unknown(length(target)) if target.elements is None else possible(target.elements)
        if mapping is not None and data.rank is not None and length(mapping) not in {None, data.rank}:
            raise ValueError(f"{data} is broadcast along {mapping} axes")
        if wanted is None or self.mode == "explicit":
            return Fact(data.dtype, wanted)
        if self.mode == "bidirectional":
            return Fact(data.dtype, broadcast(data.shape, wanted))
        if data.shape is None:
            return Fact(data.dtype, wanted)
        reached = broadcast(data.shape, wanted) or ()
        if len(reached) > len(wanted) or any(decide_equal(r, w) is False for r, w in zip(reached, wanted, strict=True)):
            raise ValueError(f"{show_shape(data.shape)} cannot be broadcast to {show_shape(wanted)}")
        return Fact(data.dtype, tuple(r if w is UNKNOWN else w for r, w in zip(reached, wanted, strict=True)))

    def evaluate(self, data: Array, target: Array, mapping: Array | None = None) -> Array:
        shape = tuple(target.reshape(-1).tolist())
        if self.mode == "bidirectional":
            shape = np.broadcast_shapes(data.shape, shape)
        elif mapping is not None:
            extents = dict(zip(mapping.reshape(-1).tolist(), data.shape, strict=True))
            data = data.reshape([extents.get(i, 1) for i in range(len(shape))])
        return np.array(np.broadcast_to(data, shape))


class Tile(Op, frozen=True):
    """``data`` repeated so often along each axis; the shorter of shape and repeats gets leading ones."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, repeats: Fact) -> Fact:
        expect_lists(repeats)
        count = length(repeats)
        if data.shape is None or count is None:
            return Fact(data.dtype)
        rank = max(count, len(data.shape))
        times = repeats.elements
        if times is None:
            return Fact(data.dtype, unknown(rank))
        extents = (1,) * (rank - len(data.shape)) + data.shape
        times = (1,) * (rank - count) + times
        return Fact(data.dtype, possible(tuple(product((d, t)) for d, t in zip(extents, times, strict=True))))

    def evaluate(self, data: Array, repeats: Array) -> Array:
        times = repeats.reshape(-1).tolist()
        rank = max(len(times), data.ndim)
        extents = (1,) * (rank - data.ndim) + data.shape
        pairs = list(zip((1,) * (rank - len(times)) + tuple(times), extents, strict=True))
        apart = data.reshape([n for d in extents for n in (1, d)])
        grown = np.broadcast_to(apart, [n for pair in pairs for n in pair])
        return grown.reshape([t * d for t, d in pairs])
