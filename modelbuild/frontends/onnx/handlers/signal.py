"""ONNX signal processing.

A Fourier transform of a known, moderate length is a product with a constant matrix here: exact to the last bits, and
for lengths that are not powers of two many times faster than a runtime's own transform (a spectrogram of 998 frames
of 400 samples takes 1.8 s with the STFT of OpenVINO 2026.4, 3 ms as a convolution).
"""

from __future__ import annotations

import math

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.convert import type_named
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, as_scalar, converted, from_front
from modelbuild.graph import Op, Value
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.shape import UNKNOWN, Dim

LARGEST_MATRIX = 1 << 20
"""Elements of the matrix of a transform, above which the runtime's own is used."""


@onnx.op("STFT", since=17)
def stft(
    build: Build, signal: Value, frame_step: Value, window: Value | None = None, frame_length: Value | None = None, *,
    onesided: int = 1,
) -> Value:  # fmt: skip
    """Frames are what a convolution sees: its filters are the windowed waves, its stride is the step."""
    step, length = frame_step.fact.ints, _length(window, frame_length)
    shape = signal.fact.shape
    if shape is None or len(shape) not in {2, 3}:
        raise build.refuse(f"the signal is {signal.fact}, not known to be of two or three axes")
    parts = 1 if len(shape) == 2 else _parts(build, shape[2], signal)
    if length is None or step is None or not _is_small(length, bool(onesided), parts == 2):
        return _stft_of_runtime(build, signal, frame_step, window, frame_length, onesided=bool(onesided))
    if build.rank(signal) == 2:
        channels = build(ops.Unsqueeze(), signal, build.ints(1))
    else:
        channels = build(ops.Transpose(), signal, build.ints(0, 2, 1))
    waves = spectrum_matrix(length, bins_of(length, onesided=bool(onesided)), parts=parts)
    filters = build.const(np.ascontiguousarray(waves.transpose(2, 1, 0)).astype(signal.fact.dtype.numpy))
    if window is not None:
        filters = build(ops.Multiply(), filters, window)
    one = (1,)
    made = build(ops.Convolution(ops.Window((step[0],), one, (0,), (0,))), channels, filters)
    made = build(ops.Transpose(), made, build.ints(0, 2, 1))
    return build(ops.Reshape(special_zero=True), made, build.ints(0, 0, -1, 2))


def _parts(build: Build, extent: Dim, signal: Value) -> int:
    """1 for real numbers, 2 for complex ones."""
    if not isinstance(extent, int) or extent not in {1, 2}:
        raise build.refuse(f"its signal is {signal.fact}: the last axis is neither real nor complex numbers")
    return extent


def _length(window: Value | None, frame_length: Value | None) -> int | None:
    """The samples of a frame, if they are known."""
    given = frame_length.fact.ints if frame_length is not None else None
    windowed = window.fact.shape[0] if window is not None and window.fact.shape else None
    if given and isinstance(windowed, int) and given[0] != windowed:
        raise ValueError(f"frames of {given[0]} samples have a window of {windowed}")
    if given:
        return given[0]
    return windowed if isinstance(windowed, int) else None


def _stft_of_runtime(
    build: Build, signal: Value, step: Value, window: Value | None, length: Value | None, *, onesided: bool
) -> Value:
    if not onesided:
        raise build.refuse("it wants the whole spectrum of frames whose length is unknown or large")
    if length is None:
        if window is None:
            raise ValueError("neither window nor frame_length is given")
        length = build(ops.ShapeOf(), window)
    if window is None:
        one = build.scalar(1, signal.fact.dtype)
        window = build(ops.Broadcast(), one, as_list(build, length))
    flat = signal if build.rank(signal) == 2 else build(ops.Squeeze(), signal, build.ints(2))
    return build(ops.STFT(), flat, window, as_scalar(build, length), as_scalar(build, step))


def bins_of(length: int, *, onesided: bool) -> int:
    return length // 2 + 1 if onesided else length


def _is_small(length: int, onesided: bool, is_complex: bool) -> bool:
    return length * bins_of(length, onesided=onesided) * (4 if is_complex else 2) <= LARGEST_MATRIX


def spectrum_matrix(length: int, bins: int, *, parts: int, inverse: bool = False) -> Array:
    """[samples, parts, bins * 2]: what each part of a sample adds to the real and the imaginary part of each bin.

    All values come from one turn of ``length`` steps, which is symmetric to the last bit: what cancels, cancels.
    """
    turn = np.array([_wave(k, length) for k in range(length)])
    angle = np.arange(length)[:, None] * np.arange(bins)[None] % length
    cosine, sine = turn[angle, 0], turn[angle, 1] * (1 if inverse else -1)
    of_parts = np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)
    made = np.stack(of_parts[:parts], 1).reshape(length, parts, bins * 2)
    return made / length if inverse else made


def _wave(k: int, length: int) -> tuple[float, float]:
    """Cosine and sine of ``k / length`` of a turn, from the nearest quarter."""
    quarter = (8 * k + length) // (2 * length)
    away = 2 * math.pi * (4 * k - quarter * length) / (4 * length)
    c, s = math.cos(away), math.sin(away)
    return ((c, s), (-s, c), (-c, -s), (s, -c))[quarter % 4]


@onnx.op("DFT", since=17)
def dft_17(
    build: Build, x: Value, dft_length: Value | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Value:
    return _dft(build, x, dft_length, axis, inverse=bool(inverse), onesided=bool(onesided))


@onnx.op("DFT", since=20)
def dft_20(
    build: Build, x: Value, dft_length: Value | None = None, axis: Value | None = None, *,
    inverse: int = 0, onesided: int = 0,
) -> Value:  # fmt: skip
    if axis is not None and axis.fact.ints is None:
        if onesided:
            raise build.refuse("it is one-sided and its axis is computed at run time, which crashes the runtime")
        where = from_front(build, axis, build.rank(x))
        return _dft_of_runtime(build, x, dft_length, where, inverse=bool(inverse), onesided=False)
    at = -2 if axis is None else build.known_int(axis, "its axis")
    return _dft(build, x, dft_length, at, inverse=bool(inverse), onesided=bool(onesided))


@onnx.op("Rfft", domain=MICROSOFT)
def rfft(build: Build, x: Value, *, normalized: int = 0, onesided: int = 1, signal_ndim: int = 1) -> Value:
    """Of real numbers along the last axis; those of the spectrum are pairs along one more."""
    _refuse_other_forms(build, normalized, onesided, signal_ndim)
    pairs = build(ops.Unsqueeze(), x, build.ints(-1))
    return _dft(build, pairs, None, -2, inverse=False, onesided=True)


@onnx.op("Irfft", domain=MICROSOFT)
def irfft(build: Build, x: Value, *, normalized: int = 0, onesided: int = 1, signal_ndim: int) -> Value:
    _refuse_other_forms(build, normalized, onesided, signal_ndim)
    return build(ops.Squeeze(), _dft(build, x, None, -2, inverse=True, onesided=True), build.ints(-1))


def _refuse_other_forms(build: Build, normalized: int, onesided: int, signal_ndim: int) -> None:
    if normalized or not onesided or signal_ndim != 1:
        raise build.refuse("its signal has several axes, is normalised, or keeps both halves of its spectrum")


def _dft(build: Build, x: Value, length: Value | None, axis: int, *, inverse: bool, onesided: bool) -> Value:
    """A one-sided inverse takes half a spectrum and gives real numbers, on a last axis of one."""
    rank, shape = build.rank(x), x.fact.shape or ()
    axis = build.axis(axis, rank)
    parts = _parts(build, shape[-1], x)
    if axis == rank - 1:
        raise ValueError(f"axis {axis} of {x.fact} is the one of real and imaginary parts")
    if onesided and parts != (2 if inverse else 1):
        raise ValueError(f"one-sided, but its input is {x.fact}")
    own, half = shape[axis], inverse and onesided
    samples = _samples(length, 2 * (own - 1) if half else own)
    if isinstance(samples, int) and samples < 1:
        raise ValueError(f"a spectrum of {samples} samples: its input is {x.fact}")
    if not isinstance(samples, int) or not isinstance(own, int) or not _is_small(samples, onesided, parts == 2):
        return _dft_of_runtime(build, x, length, build.ints(axis), inverse=inverse, onesided=onesided)
    if half:
        matrix = _half_inverse(samples)
    else:
        bins = bins_of(samples, onesided=onesided)
        matrix = spectrum_matrix(samples, bins, parts=parts, inverse=inverse).reshape(samples * parts, bins * 2)
    into = matrix.shape[0] // parts
    order = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
    made = build(ops.Transpose(), _resized(build, x, axis, own, into), build.ints(*order))
    made = build(ops.Reshape(special_zero=True), made, build.ints(*(0,) * (rank - 2), into * parts))
    made = build(ops.MatMul(), made, build.const(matrix.astype(x.fact.dtype.numpy)))
    of_number = 1 if half else 2
    out = matrix.shape[1] // of_number
    made = build(ops.Reshape(special_zero=True), made, build.ints(*(0,) * (rank - 2), out, of_number))
    return build(ops.Transpose(), made, build.ints(*np.argsort(order).tolist()))


def _half_inverse(samples: int) -> Array:
    """[bins * 2, samples]: the bins between the first and the middle one stand for their mirror images too."""
    bins = bins_of(samples, onesided=True)
    full = spectrum_matrix(samples, samples, parts=2, inverse=True).reshape(samples, 2, samples, 2)
    weights = np.full(bins, 2.0)
    weights[0] = 1
    if samples % 2 == 0:
        weights[-1] = 1
    made: Array = (full[:bins, :, :, 0] * weights[:, None, None]).reshape(bins * 2, samples)
    return made


def _resized(build: Build, x: Value, axis: int, own: int, wanted: int) -> Value:
    """``x`` with an axis cut off, or filled up with zeros."""
    if wanted < own:
        return build(ops.Slice(), x, build.ints(0), build.ints(wanted), build.ints(1), build.ints(axis))
    if wanted == own:
        return x
    after = [0] * build.rank(x)
    after[axis] = wanted - own
    none = build.ints(*[0] * len(after))
    return build(ops.Pad(), x, none, build.ints(*after), build.scalar(0, x.fact.dtype))


def _samples(length: Value | None, default: Dim) -> Dim | None:
    """How many samples are transformed, ``None`` where that is known only at run time."""
    if length is None:
        return default
    return length.fact.ints[0] if length.fact.ints else None


def _dft_of_runtime(
    build: Build, x: Value, length: Value | None, axis: Value, *, inverse: bool, onesided: bool
) -> Value:
    if x.fact.dtype is ElementType.f64:
        single = converted(build, x, ElementType.f32)
        made = _dft_of_runtime(build, single, length, axis, inverse=inverse, onesided=onesided)
        return converted(build, made, ElementType.f64)
    last = build.ints(-1)
    where = [axis] if length is None else [axis, as_list(build, converted(build, length, ElementType.i64))]
    if onesided and inverse:
        return build(ops.Unsqueeze(), build(ops.IRDFT(), x, *where), last)
    if onesided:
        return build(ops.RDFT(), build(ops.Squeeze(), x, last), *where)
    if _parts(build, (x.fact.shape or (UNKNOWN,))[-1], x) == 1:
        x = build(ops.Concat(-1), x, build(ops.Multiply(), x, build.scalar(0, x.fact.dtype)))
    return build(ops.IDFT() if inverse else ops.DFT(), x, *where)


@onnx.op("HannWindow", since=17)
def hann_window(build: Build, size: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(build, size, (0.5, 0.5), output_datatype, periodic=bool(periodic))


@onnx.op("HammingWindow", since=17)
def hamming_window(build: Build, size: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(build, size, (25 / 46, 21 / 46), output_datatype, periodic=bool(periodic))


@onnx.op("BlackmanWindow", since=17)
def blackman_window(build: Build, size: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(build, size, (0.42, 0.5, 0.08), output_datatype, periodic=bool(periodic))


def _window(build: Build, size: Value, waves: tuple[float, ...], output_datatype: int, *, periodic: bool) -> Value:
    """``waves[0] - waves[1] * cos(turn) + waves[2] * cos(2 * turn)``, a turn being the whole window."""
    to, count = type_named(build, output_datatype), as_scalar(build, converted(build, size, ElementType.i64))
    if count.fact.ints is not None and count.fact.ints[0] <= LARGEST_MATRIX:
        return build.const(_known_window(count.fact.ints[0], waves, periodic=periodic).astype(to.numpy))
    real = ElementType.f32
    at = build(ops.Range(real), build.scalar(0, real), converted(build, count, real), build.scalar(1, real))
    last = count if periodic else build(ops.Subtract(), count, build.scalar(1))
    turn = build(ops.Divide(), build(ops.Multiply(), at, build.scalar(2 * math.pi, real)), converted(build, last, real))
    made = build.scalar(waves[0], real)
    for i, wave in enumerate(waves[1:], 1):
        angle = build(ops.Cos(), build(ops.Multiply(), turn, build.scalar(i, real)))
        made = build(ops.Add(), made, build(ops.Multiply(), angle, build.scalar(wave * (-1) ** i, real)))
    return converted(build, made, to)


def _known_window(size: int, waves: tuple[float, ...], *, periodic: bool) -> Array:
    if size < 0:
        raise ValueError(f"a window of {size} samples")
    turn = max(size if periodic else size - 1, 1)
    return np.array(
        [sum(w * (-1) ** i * _wave(i * k % turn, turn)[0] for i, w in enumerate(waves)) for k in range(size)]
    )


@onnx.op("MelWeightMatrix", since=17)
def mel_weight_matrix(
    build: Build, num_mel_bins: Value, dft_length: Value, sample_rate: Value, lower_edge_hertz: Value,
    upper_edge_hertz: Value, *,
    output_datatype: int = 1,
) -> Value:  # fmt: skip
    to = type_named(build, output_datatype)
    numbers = (num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz)
    if any(v.fact.value is None for v in numbers):
        return converted(build, _mel_matrix_at_run_time(build, *(as_scalar(build, v) for v in numbers)), to)
    bins, length, rate = (
        build.known_int(v, what)
        for v, what in ((num_mel_bins, "num_mel_bins"), (dft_length, "dft_length"), (sample_rate, "sample_rate"))
    )
    lower, upper = (float(v.fact.value.numpy().item()) for v in numbers[3:] if v.fact.value is not None)
    return build.const(_mel_matrix(bins, length, rate, lower, upper).astype(to.numpy))


def _mel_matrix_at_run_time(build: Build, bins: Value, length: Value, rate: Value, lower: Value, upper: Value) -> Value:
    """:func:`_mel_matrix` in single precision, of numbers that come later."""
    real = ElementType.f32

    def with_number(op: Op, a: Value, b: float) -> Value:
        return build(op, a, build.scalar(b, a.fact.dtype))

    def counted(count: Value) -> Value:
        return build(ops.Range(real), build.scalar(0, real), count, build.scalar(1, real))

    def mel(hertz: Value) -> Value:
        ratio = with_number(ops.Add(), with_number(ops.Divide(), converted(build, hertz, real), 700), 1)
        return with_number(ops.Multiply(), build(ops.Log(), ratio), 2595 / math.log(10))

    bins, length, rate = (converted(build, v, real) for v in (bins, length, rate))
    more = with_number(ops.Add(), bins, 2)
    step = build(ops.Divide(), build(ops.Subtract(), mel(upper), mel(lower)), more)
    mels = build(ops.Add(), mel(lower), build(ops.Multiply(), counted(more), step))
    risen = build(ops.Exp(), with_number(ops.Multiply(), mels, math.log(10) / 2595))
    hertz = with_number(ops.Multiply(), with_number(ops.Subtract(), risen, 1), 700)
    corners = build(ops.Multiply(), with_number(ops.Add(), length, 1), hertz)
    corners = build(ops.Floor(), build(ops.Divide(), corners, rate))
    left, top, right = (
        build(ops.Slice(), corners, build.ints(i), build.ints(end), build.ints(1), build.ints(0))
        for i, end in ((0, -2), (1, -1), (2, 1 << 31))
    )
    half = build(ops.Floor(), with_number(ops.Divide(), length, 2))
    row = build(ops.Unsqueeze(), counted(with_number(ops.Add(), half, 1)), build.ints(1))
    rise, fall = build(ops.Subtract(), top, left), build(ops.Subtract(), right, top)
    up = build(ops.Divide(), build(ops.Subtract(), row, left), with_number(ops.Maximum(), rise, 1))
    down = build(ops.Divide(), build(ops.Subtract(), right, row), with_number(ops.Maximum(), fall, 1))
    beside = build(ops.Relu(), build(ops.Select(), build(ops.Less(), row, top), up, down))
    return build(ops.Select(), build(ops.Equal(), row, top), build.scalar(1, real), beside)


def _mel_matrix(bins: int, length: int, rate: int, lower: float, upper: float) -> Array:
    """[spectrum bins, mel bins]: triangles whose corners are equally far apart on the mel scale."""
    if not 0 <= bins * length <= LARGEST_MATRIX * 16 or length < 1 or rate < 1:
        raise ValueError(f"{bins} mel bins of spectra of {length} samples, {rate} a second")
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (lower, upper))
    step = (high - low) / (bins + 2)
    hertz = [700 * (10 ** ((low + i * step) / 2595) - 1) for i in range(bins + 2)]
    corners = [int((length + 1) * h // rate) for h in hertz]
    made = np.zeros((bins_of(length, onesided=True), bins))
    if min(corners) < 0 or max(corners) >= len(made):
        raise ValueError(f"edges of {lower} and {upper} Hz, between 0 and {rate / 2} Hz there are some")
    for i in range(bins):
        left, top, right = corners[i : i + 3]
        if left == top:
            made[top, i] = 1
        else:
            made[left : top + 1, i] = (np.arange(left, top + 1) - left) / (top - left)
        if top != right:
            made[top:right, i] = (right - np.arange(top, right)) / (right - top)
    return made
