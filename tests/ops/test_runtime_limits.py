"""Inputs that the runtime does not take are refused while the graph is made: a file would hold them, and not load."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.graph.known import infer
from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact

TRUTH, REAL, INTEGER = (Fact(t, (2, 3)) for t in (ElementType.boolean, ElementType.f32, ElementType.i64))
SCALAR, ANY = Fact(ElementType.f32, ()), Fact(ElementType.f32)
NUMBER, AXIS = Fact(ElementType.i64, ()), Fact.of_array(np.array([0]))


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (ops.Exp(), [TRUTH]),
        (ops.BitwiseNot(), [REAL]),
        (ops.SoftSign(), [INTEGER]),
        (ops.ReduceMax(keep_dims=True), [TRUTH, AXIS]),
        (ops.ReduceLogicalAnd(keep_dims=True), [REAL, AXIS]),
        (ops.ReduceSum(keep_dims=True), [ANY, INTEGER]),
        (ops.ReduceSum(keep_dims=True), [REAL, Fact(ElementType.f32, (1,))]),
        (ops.Slice(), [REAL, NUMBER, AXIS, AXIS]),
        (ops.Reshape(), [ANY, NUMBER]),
        (ops.Broadcast(), [SCALAR, Fact(ElementType.f32, (2,))]),
        (ops.GatherND(), [SCALAR, INTEGER]),
        (ops.GatherElements(0), [ANY, NUMBER]),
        (ops.CumSum(), [REAL, SCALAR]),
        (ops.ScatterNDUpdate(), [REAL, Fact(ElementType.i64, (4, 1)), SCALAR]),
        (ops.GroupNormalization(0, 1e-5), [REAL, ANY, ANY]),
        (ops.GroupNormalization(1, 1e-5), [SCALAR, ANY, ANY]),
        (ops.RandomUniform(ElementType.f32), [Fact.of_array(np.array([-3])), SCALAR, SCALAR]),
        (ops.Multinomial(ElementType.i64, with_replacement=True, log_probs=True), [Fact(ElementType.f32, (3,)), AXIS]),
    ],
    ids=str,
)
def test_what_the_runtime_does_not_take_is_refused(op: Op, inputs: list[Fact]) -> None:
    with pytest.raises(ValueError, match=r"expected|takes|axis|fit|cannot|channel|shape|bits"):
        infer(op, tuple(inputs))
