"""Poolings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, NamedTuple

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.convolution import Padding, Window
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, decide_less


class Rest(StrEnum):
    """What becomes of elements that a last, incomplete window would cover.

    ``CEIL_TORCH`` makes a window of them only if it begins before the padding at the end.
    """

    FLOOR = "floor"
    CEIL = "ceil"
    CEIL_TORCH = "ceil_torch"


class MaxPool(Op, frozen=True):
    """The greatest element of each window, and its index in the tensor flattened from ``axis`` on."""

    window: Window
    kernel: Ints
    rounding_type: Rest = Rest.FLOOR
    index_element_type: ElementType = ElementType.i64
    axis: int = 0

    version: ClassVar[str] = "opset8"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact) -> tuple[Fact, Fact]:
        shape = _pooled(self.window, self.kernel, self.rounding_type, data)
        return Fact(data.dtype, shape), Fact(self.index_element_type, shape)

    def evaluate(self, data: Array) -> tuple[Array, Array]:
        where = np.arange(int(np.prod(data.shape[self.axis :]))).reshape(data.shape[self.axis :])
        frame = Frame.of(self.window, self.kernel, self.rounding_type, data)
        values = frame.flat_patches(data, padding=0, beyond=0)
        indices = frame.flat_patches(np.broadcast_to(where, data.shape), padding=-1, beyond=-1)
        lowest = np.iinfo(data.dtype).min if data.dtype.kind in "iu" else data.dtype.type("-inf")
        best = np.where(indices < 0, lowest, values).argmax(-1)[..., None]
        chosen = np.take_along_axis(indices, best, -1)[..., 0]
        return np.take_along_axis(values, best, -1)[..., 0], chosen.astype(self.index_element_type.numpy)


class MaxPool14(MaxPool, frozen=True):
    """The form that knows ``ceil_torch``."""

    version: ClassVar[str] = "opset14"
    type_name: ClassVar[str] = "MaxPool"


class AvgPool(Op, frozen=True):
    """The mean of each window. With ``exclude_pad`` padding does not count as elements."""

    strides: Ints
    pads_begin: Ints
    pads_end: Ints
    kernel: Ints
    exclude_pad: bool
    rounding_type: Rest = Rest.FLOOR
    auto_pad: Padding = Padding.EXPLICIT

    ir_names: ClassVar[dict[str, str]] = {"exclude_pad": "exclude-pad"}

    @property
    def window(self) -> Window:
        return Window(self.strides, (1,) * len(self.strides), self.pads_begin, self.pads_end, self.auto_pad)

    def infer(self, data: Fact) -> Fact:
        return Fact(data.dtype, _pooled(self.window, self.kernel, self.rounding_type, data))

    def evaluate(self, data: Array) -> Array:
        frame = Frame.of(self.window, self.kernel, self.rounding_type, data)
        wide = data if data.dtype.kind in "iu" else data.astype(np.result_type(data.dtype, np.float32))
        total = frame.flat_patches(wide, padding=0, beyond=0).sum(-1)
        ones = np.ones((1, 1, *data.shape[2:]), np.int64)
        count = frame.flat_patches(ones, padding=int(not self.exclude_pad), beyond=0).sum(-1)
        return np.asarray(total / count).astype(data.dtype)


class AvgPool14(AvgPool, frozen=True):
    """The form that knows ``ceil_torch``."""

    version: ClassVar[str] = "opset14"
    type_name: ClassVar[str] = "AvgPool"


class AvgPool16(AvgPool, frozen=True):
    """The form that knows dilations."""

    dilations: Ints = ()

    version: ClassVar[str] = "opset16"
    type_name: ClassVar[str] = "AvgPool"

    @property
    def window(self) -> Window:
        return Window(self.strides, self.dilations, self.pads_begin, self.pads_end, self.auto_pad)


class AdaptiveAvgPool(Op, frozen=True):
    """Means over as many parts of each spatial axis as the second input says; parts may overlap by an element."""

    version: ClassVar[str] = "opset8"

    def infer(self, data: Fact, output_shape: Fact) -> Fact:
        return Fact(data.dtype, _adapted(data, output_shape))

    def evaluate(self, data: Array, output_shape: Array) -> Array:
        y = data
        for axis, parts in enumerate(output_shape.tolist(), 2):
            y = np.stack([y.take(range(a, b), axis).mean(axis) for a, b in _parts(data.shape[axis], parts)], axis)
        return y.astype(data.dtype, copy=False)


class AdaptiveMaxPool(Op, frozen=True):
    """The greatest element of each part, and its index among the spatial axes flattened."""

    index_element_type: ElementType = ElementType.i64

    version: ClassVar[str] = "opset8"

    def infer(self, data: Fact, output_shape: Fact) -> tuple[Fact, Fact]:
        shape = _adapted(data, output_shape)
        return Fact(data.dtype, shape), Fact(self.index_element_type, shape)


def _pooled(window: Window, kernel: Ints, rounding: Rest, data: Fact) -> Shape | None:
    window.check(len(kernel))
    if not 1 <= len(kernel) <= 3 or min(kernel) < 1:
        raise ValueError(f"the kernel is {kernel}, one to three extents of at least 1 expected")
    if data.shape is None:
        return (UNKNOWN,) * (2 + len(kernel))
    if len(data.shape) != 2 + len(kernel):
        raise ValueError(f"the kernel {kernel} does not fit {data}")
    extents = (_extent(window, i, x, kernel[i], rounding) for i, x in enumerate(data.shape[2:]))
    return (*data.shape[:2], *extents)


def _extent(window: Window, axis: int, extent: Dim, kernel: int, rounding: Rest) -> Dim:
    if rounding is Rest.FLOOR or window.auto_pad.is_same:
        return window.slide(axis, extent, kernel)
    begin, end = (window.pads_begin[axis], window.pads_end[axis]) if window.auto_pad is Padding.EXPLICIT else (0, 0)
    stride = window.strides[axis]
    count = (extent + begin + end - window.reach(axis, kernel) + stride - 1) // stride + 1
    if rounding is Rest.CEIL:
        return count
    starts_inside = decide_less((count - 1) * stride, extent + begin)
    return UNKNOWN if starts_inside is None else count if starts_inside else count - 1


class Frame(NamedTuple):
    """What surrounds the data: padding, and after it what the last windows reach beyond."""

    window: Window
    kernel: Ints
    pads: list[tuple[int, int]]
    beyond: list[tuple[int, int]]

    @classmethod
    def of(cls, window: Window, kernel: Ints, rounding: Rest, data: Array) -> Frame:
        pads, beyond = [], []
        for i, (extent, k) in enumerate(zip(data.shape[2:], kernel, strict=True)):
            begin, end = window.pads(i, extent, k)
            count, reach = _extent(window, i, extent, k, rounding), window.reach(i, k)
            assert isinstance(count, int)
            assert isinstance(reach, int)
            pads.append((begin, end))
            beyond.append((0, max((count - 1) * window.strides[i] + reach - extent - begin - end, 0)))
        zeros = (0,) * len(kernel)
        return cls(Window(window.strides, window.dilations, zeros, zeros), kernel, pads, beyond)

    def flat_patches(self, x: Array, *, padding: int, beyond: int) -> Array:
        """N, C, positions…, all that a window covers; these values stand in the padding and beyond it."""
        none = [(0, 0), (0, 0)]
        filled = np.pad(x, [*none, *self.pads], constant_values=padding)
        patches = self.window.patches(np.pad(filled, [*none, *self.beyond], constant_values=beyond), self.kernel)
        return patches.reshape(*patches.shape[: 2 + len(self.kernel)], -1)


def _adapted(data: Fact, output_shape: Fact) -> Shape | None:
    if data.shape is None:
        return None
    spatial = len(data.shape) - 2
    parts = output_shape.elements or (UNKNOWN,) * spatial
    if len(parts) != spatial:
        raise ValueError(f"{len(parts)} extents are asked for, {data} has {spatial} spatial axes")
    return (*data.shape[:2], *parts)


def _parts(extent: int, parts: int) -> Iterator[tuple[int, int]]:
    for i in range(parts):
        yield i * extent // parts, -(-(i + 1) * extent // parts)
