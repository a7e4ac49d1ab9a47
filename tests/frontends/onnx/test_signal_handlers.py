"""Signal operators, against onnxruntime and numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import by_onnxruntime, computed, model, translated

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.frontends.onnx.handlers.signal import spectrum_matrix
from modelbuild.graph import Graph
from modelbuild.tensor.dtype import Array

RNG = np.random.default_rng(0)


def whole(number: int) -> Array:
    return np.array(number, np.int64)


def kinds(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph]


def numbers(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize("onesided", [0, 1])
def test_a_spectrogram_is_a_convolution(onesided: int, length: int, free: bool, tmp_path: Path) -> None:
    """With free extents it is not known that the signal is real, unless it has no axis of parts."""
    signal = {"x": numbers(2, 40) if free else numbers(2, 40, 1)}
    constants = {"step": whole(3), "window": np.hanning(length).astype(np.float32), "length": whole(length)}
    proto = model("STFT", signal, constants, opset=17, free=free, onesided=onesided)
    graph = translated(proto, tmp_path)
    (have,) = computed(graph, signal)
    named = {"x": signal["x"].reshape(2, 40, 1)}
    (want,) = by_onnxruntime(model("STFT", named, constants, opset=17, onesided=onesided), named)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)
    assert "Convolution" in kinds(graph)


def test_a_window_of_the_run_meets_the_filters_there(tmp_path: Path) -> None:
    inputs = {"x": numbers(2, 40, 1), "step": whole(3), "window": np.hanning(8).astype(np.float32)}
    proto = model("STFT", {"x": inputs["x"]}, {"step": inputs["step"], "window": inputs["window"]}, opset=17)
    later = model("STFT", {"x": inputs["x"], "step": None, "window": None}, {}, opset=17)
    later.CopyFrom(proto)
    (window,) = (t for t in later.graph.initializer if t.name == "window")
    later.graph.initializer.remove(window)
    given = later.graph.input.add()
    given.name = "window"
    given.type.tensor_type.elem_type = 1
    given.type.tensor_type.shape.dim.add().dim_value = 8
    fed = {"x": inputs["x"], "window": inputs["window"]}
    (have,), (want,) = computed(translated(later, tmp_path), fed), by_onnxruntime(later, fed)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def test_a_complex_signal_has_both_parts_as_channels(tmp_path: Path) -> None:
    signal = numbers(2, 40, 2)
    proto = model("STFT", {"x": signal}, {"step": whole(4), "window": None, "length": whole(8)}, opset=17, onesided=0)
    (have,) = computed(translated(proto, tmp_path), {"x": signal})
    as_complex = signal[..., 0] + 1j * signal[..., 1]
    want = np.stack([np.fft.fft(as_complex[:, s : s + 8]) for s in range(0, 33, 4)], 1)
    np.testing.assert_allclose(have, np.stack([want.real, want.imag], -1), rtol=1e-4, atol=1e-4)


def test_long_frames_are_left_to_the_runtime(tmp_path: Path) -> None:
    signal = numbers(1, 5000)
    proto = model("STFT", {"x": signal}, {"step": whole(512), "window": None, "length": whole(2048)}, opset=17)
    graph = translated(proto, tmp_path)
    assert "STFT" in kinds(graph)
    (have,) = computed(graph, {"x": signal})
    want = np.stack([np.fft.rfft(signal[:, s : s + 2048]) for s in range(0, 2953, 512)], 1)
    np.testing.assert_allclose(have, np.stack([want.real, want.imag], -1), rtol=1e-3, atol=1e-3)


def test_a_window_of_another_length_is_refused(tmp_path: Path) -> None:
    constants = {"step": whole(3), "window": np.ones(7, np.float32), "length": whole(8)}
    with pytest.raises(SourceError, match="frames of 8 samples have a window of 7"):
        translated(model("STFT", {"x": numbers(2, 40, 1)}, constants, opset=17), tmp_path)


def test_a_signal_of_unknown_parts_is_refused(tmp_path: Path) -> None:
    constants = {"step": whole(3), "window": np.ones(8, np.float32)}
    with pytest.raises(UnsupportedModel, match="neither real nor complex"):
        translated(model("STFT", {"x": numbers(2, 40, 1)}, constants, opset=17, free=True), tmp_path)


FORMS: list[tuple[tuple[int, ...], dict[str, Any], int | None]] = [
    ((2, 10, 3, 1), {}, None),
    ((2, 10, 3, 2), {}, None),
    ((2, 10, 3, 1), {"onesided": 1}, None),
    ((2, 10, 3, 2), {"axis": 2, "inverse": 1}, None),
    ((2, 10, 3, 1), {"axis": -2}, None),
    ((2, 10, 3, 1), {}, 16),
    ((2, 10, 3, 2), {}, 7),
]


@pytest.mark.parametrize(("shape", "attributes", "length"), FORMS)
def test_transforms_along_an_axis(
    shape: tuple[int, ...], attributes: dict[str, Any], length: int | None, tmp_path: Path
) -> None:
    x = {"x": numbers(*shape)}
    constants = {} if length is None else {"n": whole(length)}
    proto = model("DFT", x, constants, opset=17, **attributes)
    (have,), (want,) = computed(translated(proto, tmp_path), x), by_onnxruntime(proto, x)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [8, 9])
def test_half_a_spectrum_goes_back_to_real_numbers(length: int, tmp_path: Path) -> None:
    x = numbers(2, length)
    half = np.fft.rfft(x)
    inputs = {"x": np.stack([half.real, half.imag], -1).astype(np.float32)}
    proto = model("DFT", inputs, {"n": whole(length), "axis": whole(1)}, opset=20, inverse=1, onesided=1)
    (have,) = computed(translated(proto, tmp_path), inputs)
    np.testing.assert_allclose(have[..., 0], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "attributes", "kind"),
    [
        ((1, 4096, 1), {}, "DFT"),
        ((1, 4096, 1), {"onesided": 1}, "RDFT"),
        ((1, 4096, 2), {"inverse": 1}, "IDFT"),
        ((1, 2049, 2), {"inverse": 1, "onesided": 1}, "IRDFT"),
    ],
)
def test_long_transforms_are_left_to_the_runtime(
    shape: tuple[int, ...], attributes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    x = {"x": numbers(*shape)}
    graph = translated(model("DFT", x, {}, opset=17, **attributes), tmp_path)
    assert kind in kinds(graph)
    x64 = x["x"].astype(np.float64)
    signal = x64[..., 0] + (1j * x64[..., 1] if shape[-1] == 2 else 0)
    by_numpy: dict[str, Any] = {"DFT": np.fft.fft, "RDFT": np.fft.rfft, "IDFT": np.fft.ifft, "IRDFT": np.fft.irfft}
    want = by_numpy[kind](signal.real if kind == "RDFT" else signal)
    want = want[..., None] if kind == "IRDFT" else np.stack([want.real, want.imag], -1)
    np.testing.assert_allclose(computed(graph, x)[0], want, rtol=1e-3, atol=1e-3)


def test_an_axis_of_the_run_is_left_to_the_runtime(tmp_path: Path) -> None:
    inputs = {"x": numbers(2, 10, 3, 2), "n": None, "axis": whole(-3)}
    proto = model("DFT", inputs, {}, opset=20)
    (have,), (want,) = computed(translated(proto, tmp_path), inputs), by_onnxruntime(proto, inputs)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedModel, match="one-sided"):
        translated(model("DFT", {**inputs, "x": numbers(2, 10, 3, 1)}, {}, opset=20, onesided=1), tmp_path)


@pytest.mark.parametrize(
    ("shape", "attributes", "length"),
    [
        ((2, 0, 1), {}, None),
        ((2, 0, 2), {"inverse": 1}, None),
        ((2, 1, 2), {"inverse": 1, "onesided": 1}, None),
        ((2, 8, 1), {}, 0),
        ((2, 8, 1), {}, -3),
    ],
)
def test_a_spectrum_of_no_samples_is_refused(
    shape: tuple[int, ...], attributes: dict[str, Any], length: int | None, tmp_path: Path
) -> None:
    constants = {} if length is None else {"n": whole(length)}
    with pytest.raises(SourceError, match=r"a spectrum of (0|-3) samples"):
        translated(model("DFT", {"x": numbers(*shape)}, constants, opset=17, **attributes), tmp_path)


def test_what_cancels_cancels() -> None:
    """Samples half a turn apart have exactly opposite weights."""
    matrix = spectrum_matrix(10, 10, parts=1)[:, 0].reshape(10, 10, 2)
    np.testing.assert_array_equal(matrix[:, 5].sum(0), [0, 0])
    np.testing.assert_array_equal(matrix[1, 1], -matrix[6, 1])


@pytest.mark.parametrize("operator", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_known_and_of_the_run(operator: str, periodic: int, tmp_path: Path) -> None:
    size = {"n": whole(10)}
    proto = model(operator, size, {}, opset=17, periodic=periodic)
    (want,) = by_onnxruntime(proto, size)
    (have,) = computed(translated(proto, tmp_path), size)
    np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-5)
    (have,) = computed(translated(model(operator, {}, size, opset=17, periodic=periodic), tmp_path), {})
    np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-5)


def test_mel_weights_of_known_numbers(tmp_path: Path) -> None:
    constants = {
        "bins": whole(8), "n": whole(64), "rate": whole(8192), "low": np.array(0, np.float32),
        "high": np.array(4096, np.float32),
    }  # fmt: skip
    proto = model("MelWeightMatrix", {}, constants, opset=17)
    (have,), (want,) = computed(translated(proto, tmp_path), {}), by_onnxruntime(proto, {})
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
