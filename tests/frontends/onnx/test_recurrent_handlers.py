"""Recurrent operators in all their forms, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use
from answers import check as check_on_runtime
from one_node import Inputs, by_onnxruntime, computed, model, translated

from modelbuild import ops
from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.tensor.dtype import Array

TIME, BATCH, INPUT, HIDDEN = 4, 2, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
each = pytest.mark.parametrize("operator", list(GATES))


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def weights(operator: str, directions: int = 1) -> dict[str, Array | None]:
    rows = GATES[operator] * HIDDEN
    return {
        "w": numbers(directions, rows, INPUT), "r": numbers(directions, rows, HIDDEN),
        "b": numbers(directions, 2 * rows),
    }  # fmt: skip


def states(operator: str, directions: int = 1) -> dict[str, Array | None]:
    h, c = numbers(directions, BATCH, HIDDEN), numbers(directions, BATCH, HIDDEN)
    return {"h": h, "c": c} if operator == "LSTM" else {"h": h}


def check(operator: str, constants: Inputs, folder: Path, x: Array | None = None, **attributes: Any) -> None:
    """All outputs are those of onnxruntime, for known and for unknown extents."""
    inputs = {"x": numbers(TIME, BATCH, INPUT) if x is None else x}
    outputs = 3 if operator == "LSTM" else 2
    for free in (False, True):
        proto = model(
            operator, inputs, constants, opset=14, outputs=outputs, free=free, hidden_size=HIDDEN, **attributes
        )
        got = computed(translated(proto, folder), inputs)
        for have, want in zip(got, by_onnxruntime(proto, inputs), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_directions(operator: str, direction: str, tmp_path: Path) -> None:
    count = 2 if direction == "bidirectional" else 1
    constants = {**weights(operator, count), "lens": None, **states(operator, count)}
    check(operator, constants, tmp_path, direction=direction)


@each
def test_sequences_of_different_lengths(operator: str, tmp_path: Path) -> None:
    lengths = np.array([2, TIME], np.int32)
    check(operator, {**weights(operator, 2), "lens": lengths}, tmp_path, direction="bidirectional")


@each
def test_neither_biases_nor_states(operator: str, tmp_path: Path) -> None:
    check(operator, {**weights(operator), "b": None}, tmp_path)


@each
def test_what_enters_the_gates_is_bounded(operator: str, tmp_path: Path) -> None:
    check(operator, weights(operator), tmp_path, clip=0.2)


def test_the_reset_may_come_after_the_product(tmp_path: Path) -> None:
    check("GRU", weights("GRU"), tmp_path, linear_before_reset=1)


def test_other_activations(tmp_path: Path) -> None:
    check("LSTM", weights("LSTM"), tmp_path, activations=["HardSigmoid", "Relu", "Tanh"])
    check("RNN", weights("RNN"), tmp_path, activations=["Relu"])


def test_parameters_go_to_the_activations_that_have_some(tmp_path: Path) -> None:
    check(
        "GRU", weights("GRU"), tmp_path,
        activations=["Tanh", "HardSigmoid"], activation_alpha=[0.3], activation_beta=[0.4],
    )  # fmt: skip


@each
def test_the_batch_may_come_first(operator: str, tmp_path: Path) -> None:
    """onnxruntime does not take this layout, so its answer for the other one is turned."""
    x, constants = numbers(TIME, BATCH, INPUT), {**weights(operator), "lens": None}
    outputs = 3 if operator == "LSTM" else 2
    timed = model(operator, {"x": x}, {**constants, **states(operator)}, opset=14, outputs=outputs, hidden_size=HIDDEN)
    y, *last = by_onnxruntime(timed, {"x": x})
    turned = {"x": x.transpose(1, 0, 2)}
    given = {k: None if v is None else v.transpose(1, 0, 2) for k, v in states(operator).items()}
    batched = model(operator, turned, {**constants, **given}, opset=14, outputs=outputs, hidden_size=HIDDEN, layout=1)
    got, *final = computed(translated(batched, tmp_path), turned)
    np.testing.assert_allclose(got, y.transpose(2, 0, 1, 3), rtol=1e-4)
    for have, want in zip(final, last, strict=True):
        np.testing.assert_allclose(have, want.transpose(1, 0, 2), rtol=1e-4)


# --- step by step ----------------------------------------------------------------------------------------------------

HOLES = {2: numbers(2, 3 * HIDDEN), 1: numbers(1, 3 * HIDDEN)}
LENGTHS = np.array([2, TIME], np.int32)


def spelled_out(operator: str, given: Inputs, folder: Path, *, free: bool, **attributes: Any) -> None:
    """Also on OpenVINO's runtime: no sequence operation can say this."""
    inputs = {"x": numbers(TIME, BATCH, INPUT), **given}
    outputs = ("y", "h_last", "c_last") if operator == "LSTM" else ("y", "h_last")
    use = Use(
        operator, "", inputs, {"hidden_size": HIDDEN, **attributes}, outputs,
        [n for n, v in given.items() if v is not None], symbolic=free, opset=14,
    )  # fmt: skip
    check_on_runtime(use, folder)
    assert any(isinstance(n.op, ops.TensorIterator) for n in use.graph(folder))


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_gates_may_see_the_cell(direction: str, lengths: Array | None, tmp_path: Path, *, free: bool) -> None:
    count = 2 if direction == "bidirectional" else 1
    given = {**weights("LSTM", count), "lens": lengths, **states("LSTM", count), "p": HOLES[count]}
    spelled_out("LSTM", given, tmp_path, free=free, direction=direction, clip=0.7)


def test_holes_that_see_nothing_cost_nothing(tmp_path: Path) -> None:
    nothing = np.zeros((1, 3 * HIDDEN), np.float32)
    given = {**weights("LSTM"), "lens": None, "h": None, "c": None, "p": nothing}
    check("LSTM", given, tmp_path)
    graph = translated(model("LSTM", {"x": numbers(TIME, BATCH, INPUT)}, given, opset=14), tmp_path)
    assert any(isinstance(n.op, ops.LSTMSequence) for n in graph)


def test_what_is_taken_in_is_forgotten(tmp_path: Path) -> None:
    spelled_out("LSTM", weights("LSTM"), tmp_path, free=False, input_forget=1)


@pytest.mark.parametrize(
    "name", ["Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "Elu", "Softsign", "Softplus"]
)
def test_activations_that_no_sequence_has(name: str, tmp_path: Path) -> None:
    numbers = {} if name.startswith("Soft") else {"activation_alpha": [0.4], "activation_beta": [0.6]}
    spelled_out("RNN", weights("RNN"), tmp_path, free=False, activations=[name], **numbers)


@pytest.mark.parametrize("reset_last", [0, 1])
def test_directions_may_differ_in_activations(reset_last: int, tmp_path: Path) -> None:
    names = ["Sigmoid", "Tanh", "HardSigmoid", "Softsign"]
    given = {**weights("GRU", 2), "lens": LENGTHS, **states("GRU", 2)}
    attributes = {"direction": "bidirectional", "linear_before_reset": reset_last, "activations": names}
    spelled_out("GRU", given, tmp_path, free=True, **attributes)


def test_an_unknown_activation_is_refused(tmp_path: Path) -> None:
    x = {"x": numbers(TIME, BATCH, INPUT)}
    with pytest.raises(UnsupportedModel, match="activations cosine are not among affine"):
        translated(model("RNN", x, weights("RNN"), opset=14, hidden_size=HIDDEN, activations=["Cosine"]), tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    constants = {**weights("LSTM"), "w": numbers(1, 3 * HIDDEN + 1, INPUT)}
    with pytest.raises(SourceError, match="LSTM"):
        translated(model("LSTM", {"x": numbers(TIME, BATCH, INPUT)}, constants, opset=14, hidden_size=HIDDEN), tmp_path)


# --- weights of eight bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_quantised_weights(tmp_path: Path, *, signed: bool, channels: bool) -> None:
    """onnxruntime rounds the data to eight bits too: numbers up to one differ by some hundredths."""
    directions, gates = 2, 4 * HIDDEN
    some = np.random.default_rng(7)

    def quantised(rows: int) -> tuple[Array, Array, Array]:
        shape = (directions, gates) if channels else (directions,)
        integers = some.integers(0, 256, (directions, rows, gates)) - (128 if signed else 0)
        kind = np.int8 if signed else np.uint8
        zeros = np.zeros(shape) if signed else np.full(shape, 128)
        return integers.astype(kind), some.uniform(0.005, 0.01, shape).astype(np.float32), zeros.astype(kind)

    (w, ws, wz), (r, rs, rz) = quantised(INPUT), quantised(HIDDEN)
    given = {
        "w": w, "r": r, "b": numbers(directions, 2 * gates), "lens": LENGTHS, **states("LSTM", directions), "p": None,
        "ws": ws, "wz": wz, "rs": rs, "rz": rz,
    }  # fmt: skip
    attributes = {"direction": "bidirectional", "hidden_size": HIDDEN}
    use = Use(
        "DynamicQuantizeLSTM", MICROSOFT, {"x": numbers(TIME, BATCH, INPUT), **given}, attributes, ("y", "h_n", "c_n"),
        [n for n, v in given.items() if v is not None], opset=14, loose=0.05,
    )  # fmt: skip
    check_on_runtime(use, tmp_path)
