"""Recurrent operators in all their forms, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import Inputs, by_onnxruntime, computed, model, translated

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


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"input_forget": 1}, "forget gate is tied"),
        ({"activations": ["Affine", "Tanh", "Tanh"]}, "activations affine"),
        (
            {"direction": "bidirectional", "activations": ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"]},
            "different activations",
        ),
    ],
)
def test_what_no_runtime_has_is_refused(attributes: dict[str, Any], why: str, tmp_path: Path) -> None:
    count = 2 if "direction" in attributes else 1
    x = {"x": numbers(TIME, BATCH, INPUT)}
    with pytest.raises(UnsupportedModel, match=why):
        translated(model("LSTM", x, weights("LSTM", count), opset=14, hidden_size=HIDDEN, **attributes), tmp_path)


def test_peepholes_are_refused_unless_they_see_nothing(tmp_path: Path) -> None:
    x, holes = {"x": numbers(TIME, BATCH, INPUT)}, np.zeros((1, 3 * HIDDEN), np.float32)
    given = {**weights("LSTM"), "lens": None, "h": None, "c": None}
    check("LSTM", {**given, "p": holes}, tmp_path)
    with pytest.raises(UnsupportedModel, match="peepholes"):
        translated(model("LSTM", x, {**given, "p": holes + 1}, opset=14, hidden_size=HIDDEN), tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    constants = {**weights("LSTM"), "w": numbers(1, 3 * HIDDEN + 1, INPUT)}
    with pytest.raises(SourceError, match="LSTM"):
        translated(model("LSTM", {"x": numbers(TIME, BATCH, INPUT)}, constants, opset=14, hidden_size=HIDDEN), tmp_path)
