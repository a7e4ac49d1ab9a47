"""Fourier transforms. A complex number is a last axis of two: real and imaginary part."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import axes_of, replaced, unknown
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Shape, decide_equal


class _Transform(Op, frozen=True):
    """Inputs: data, axes, and the extents of the transform on these axes (-1: as they are)."""

    version: ClassVar[str] = "opset7"
    complex_input: ClassVar[bool] = True
    complex_output: ClassVar[bool] = True

    def infer(self, data: Fact, axes: Fact, extents: Fact | None = None) -> Fact:
        if not data.dtype.is_real or data.dtype is ElementType.f64:
            raise ValueError(f"{type(self).__name__} of {data}: real numbers of at most single precision expected")
        if data.shape is None:
            return Fact(data.dtype)
        shape = data.shape
        if self.complex_input:
            if not shape or decide_equal(shape[-1], 2) is False:
                raise ValueError(f"{data} is not complex: its last axis is not 2")
            shape = shape[:-1]
        made = unknown(len(shape)) if axes.ints is None else self._transformed(shape, axes.ints, extents)
        return Fact(data.dtype, (*(made or ()), 2) if self.complex_output else made)

    def _transformed(self, shape: Shape, axes: Ints, extents: Fact | None) -> Shape:
        where = axes_of(axes, len(shape))
        wanted: tuple[Dim, ...] = (-1,) * len(where)
        if extents is not None:
            wanted = extents.elements or (UNKNOWN,) * len(where)
        if len(wanted) != len(where):
            raise ValueError(f"{len(where)} axes, but {len(wanted)} extents")
        for i, (axis, extent) in enumerate(zip(where, wanted, strict=True)):
            last = i == len(where) - 1
            shape = replaced(shape, axis, self._extent(shape[axis], extent, last=last))
        return shape

    def _extent(self, own: Dim, wanted: Dim, *, last: bool) -> Dim:
        return own if wanted == -1 else wanted

    def evaluate(self, data: Array, axes: Array, extents: Array | None = None) -> Array:
        work = data.astype(np.float64) if data.dtype != np.float64 else data
        signal = work[..., 0] + 1j * work[..., 1] if self.complex_input else work
        where = axes_of(np.ravel(axes).tolist(), signal.ndim)
        sizes = [-1] * len(where) if extents is None else np.ravel(extents).tolist()
        made = self._run(signal, where, sizes)
        result = np.stack([made.real, made.imag], -1) if self.complex_output else made
        return np.asarray(result, data.dtype)

    def _run(self, signal: Array, axes: Ints, extents: list[int]) -> Array:
        raise NotImplementedError


def _full(signal: Array, axes: Ints, extents: list[int]) -> list[int]:
    return [signal.shape[a] if n == -1 else n for a, n in zip(axes, extents, strict=True)]


class DFT(_Transform, frozen=True):
    def _run(self, signal: Array, axes: Ints, extents: list[int]) -> Array:
        return np.fft.fftn(signal, _full(signal, axes, extents), axes)


class IDFT(_Transform, frozen=True):
    def _run(self, signal: Array, axes: Ints, extents: list[int]) -> Array:
        return np.fft.ifftn(signal, _full(signal, axes, extents), axes)


class RDFT(_Transform, frozen=True):
    """Real numbers in, the non-redundant half of the spectrum out: ``n // 2 + 1`` on the last of the axes."""

    version: ClassVar[str] = "opset9"
    complex_input: ClassVar[bool] = False

    def _extent(self, own: Dim, wanted: Dim, *, last: bool) -> Dim:
        extent = own if wanted == -1 else wanted
        return extent // 2 + 1 if last else extent

    def _run(self, signal: Array, axes: Ints, extents: list[int]) -> Array:
        return np.fft.rfftn(signal, _full(signal, axes, extents), axes)


class IRDFT(_Transform, frozen=True):
    """The half of a spectrum in, real numbers out: ``2 * (n - 1)`` on the last axis unless an extent is given."""

    version: ClassVar[str] = "opset9"
    complex_output: ClassVar[bool] = False

    def _extent(self, own: Dim, wanted: Dim, *, last: bool) -> Dim:
        if wanted != -1:
            return wanted
        return 2 * (own - 1) if last else own

    def _run(self, signal: Array, axes: Ints, extents: list[int]) -> Array:
        sizes = _full(signal, axes, extents)
        if extents[-1] == -1:
            sizes[-1] = 2 * (signal.shape[axes[-1]] - 1)
        return np.fft.irfftn(signal, sizes, axes)


class STFT(Op, frozen=True):
    """The half spectra of windowed frames of a real signal [batch, time] or [time].

    Inputs: signal, window, frame size, frame step. The output is [batch, frames, bins, 2], or with ``transpose_frames``
    [batch, bins, frames, 2]. A window shorter than the frame stands in its middle.
    """

    transpose_frames: bool = False

    version: ClassVar[str] = "opset15"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, signal: Fact, window: Fact, size: Fact, step: Fact) -> Fact:
        if signal.shape is None:
            return Fact(signal.dtype)
        if len(signal.shape) not in {1, 2}:
            raise ValueError(f"{signal} is not a signal: [time] or [batch, time]")
        *batch, time = signal.shape
        length = size.elements[0] if size.elements else UNKNOWN
        stride = step.elements[0] if step.elements else UNKNOWN
        if isinstance(stride, int) and stride < 1:
            raise ValueError(f"a frame step of {stride} goes nowhere")
        frames, bins = (time - length) // stride + 1, length // 2 + 1
        return Fact(signal.dtype, (*batch, *((bins, frames) if self.transpose_frames else (frames, bins)), 2))

    def evaluate(self, signal: Array, window: Array, size: Array, step: Array) -> Array:
        length, stride = int(np.ravel(size)[0]), int(np.ravel(step)[0])
        before = (length - window.size) // 2
        padded = np.pad(window, (before, length - window.size - before)).astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(signal, length, -1)[..., ::stride, :]
        made = np.fft.rfft(frames * padded, axis=-1)
        made = np.moveaxis(made, -1, -2) if self.transpose_frames else made
        return np.asarray(np.stack([made.real, made.imag], -1), signal.dtype)


class ISTFT(Op, frozen=True):
    """The signal of overlapping half spectra [batch, bins, frames, 2].

    Inputs: spectra, window, frame size, frame step, and the length of the signal where it is given.
    """

    center: bool = False
    normalized: bool = False

    version: ClassVar[str] = "opset16"
    precise_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, window: Fact, size: Fact, step: Fact, length: Fact | None = None) -> Fact:
        if data.shape is None:
            return Fact(data.dtype)
        if len(data.shape) not in {3, 4}:
            raise ValueError(f"{data} is not [batch, bins, frames, 2]")
        return Fact(data.dtype, (*data.shape[:-3], self._time(data.shape[-2], size, step, length)))

    def _time(self, frames: Dim, size: Fact, step: Fact, length: Fact | None) -> Dim:
        if length is not None:
            return length.elements[0] if length.elements else UNKNOWN
        if not size.elements or not step.elements:
            return UNKNOWN
        whole = (frames - 1) * step.elements[0] + size.elements[0]
        return whole - size.elements[0] // 2 * 2 if self.center else whole
