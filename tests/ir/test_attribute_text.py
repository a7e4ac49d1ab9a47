from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph import Op
from modelbuild.ir.attributes import _text, attribute_text, marks, partial_shape, quote, tensor_names
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import UNKNOWN, Expr, Shape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1e-05, "1.0000000000000001e-05"),
        (float(np.float32(1e-6)), "9.9999999747524271e-07"),
        (0.75, "0.75"),
        (6.0, "6"),
        (-math.inf, "-inf"),
        (2**62 + 1, "4611686018427387905"),
        ("same_upper", "same_upper"),
        (ElementType.boolean, "boolean"),
        ((1, 1), "1, 1"),
        ((), ""),
        (("sigmoid", "tanh"), "sigmoid, tanh"),
        ((0.1, float(np.float32(0.2)), 8.0), "0.1, 0.2, 8"),
        ((float(np.float32(1 / 3)),), "0.333333343"),
    ],
)
def test_values_are_spelled_as_the_official_writer_does(value: Any, text: str) -> None:
    assert _text(value) == text


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((), ""),
        (None, "..."),
        ((1, 3, UNKNOWN), "1,3,?"),
        ((Expr.symbol("N", 1, 8), Expr.symbol("S", 2), Expr.symbol("T"), Expr.symbol("U", 0, 4)), "1..8,2..,?,..4"),
        ((Expr.symbol("N", 1, 8) * 2 + 1,), "3..17"),
        ((Expr.symbol("N", 7, 7),), "7"),
    ],
)
def test_partial_shapes_keep_the_bounds(shape: Shape | None, text: str) -> None:
    assert partial_shape(shape) == text


def test_names_are_sorted_and_their_commas_escaped() -> None:
    assert tensor_names(["z", 'a"<&>', "b,c"]) == r"a&quot;&lt;&amp;>,b\,c,z"


def test_a_name_that_ends_in_a_backslash_does_not_swallow_the_next() -> None:
    assert tensor_names(["b\\", "c"]) == "c,b\\"


def test_what_xml_cannot_hold_is_spelled_out() -> None:
    assert quote("a\x00b\udc80\n") == r"a\x00b\udc80&#10;"


@pytest.mark.parametrize(
    ("op", "text", "marked"),
    [
        (ops.Add(), ' auto_broadcast="numpy"', []),
        (ops.Clamp(0.0, 6.0), ' min="0" max="6"', []),
        (ops.Convert(ElementType.f32, decompression=True), ' destination_type="f32"', ["decompression"]),
        (ops.ReadValue("v", ElementType.f32, (UNKNOWN, Expr.symbol("S", 1, 4), 3)), None, []),
        (ops.Relu(), "", []),
    ],
)
def test_operations_are_written_by_their_fields(op: Op, text: str | None, marked: list[str]) -> None:
    expected = ' variable_id="v" variable_type="f32" variable_shape="?,1..4,3"' if text is None else text
    assert attribute_text(op) == expected
    assert marks(op) == marked
