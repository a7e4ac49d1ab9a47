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
NUMBER, AXIS, PAIR = Fact(ElementType.i64, ()), Fact.of_array(np.array([0])), Fact.of_array(np.array([3, 3]))
IMAGE, CHANNELS = Fact(ElementType.f32, (1, 3, 4, 5)), Fact(ElementType.f32, (3,))


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
        (ops.GatherElements(0), [IMAGE, Fact(ElementType.i64, (1, 2, 4, 5))]),
        (ops.GatherND(7), [REAL, Fact(ElementType.i64)]),
        (ops.ScatterElementsUpdate(), [REAL, INTEGER, Fact(ElementType.f32, (3, 3)), AXIS]),
        (ops.Add(), [TRUTH, TRUTH]),
        (ops.IsNaN(), [INTEGER]),
        (ops.MVN(1e-5), [TRUTH, AXIS]),
        (ops.BatchNormInference(-1.0), [IMAGE, *[CHANNELS] * 4]),
        (ops.BatchNormInference(1.0), [Fact(ElementType.f32, (2, 0)), *[Fact(ElementType.f32, (0,))] * 4]),
        (ops.Convolution(ops.Window.plain(0)), [REAL, REAL]),
        (ops.AvgPool((1,), (0,), (0,), (0,), exclude_pad=True), [Fact(ElementType.f32, (1, 2, 3))]),
        (ops.Pad(ops.PadMode.REFLECT), [REAL, PAIR, PAIR]),
        (ops.TopK(0), [REAL, SCALAR]),
        (ops.OneHot(0), [INTEGER, NUMBER, REAL, REAL]),
        (ops.Slice(), [SCALAR, AXIS, AXIS, AXIS]),
        (ops.VariadicSplit(), [ANY, NUMBER, NUMBER]),
        (ops.ReverseSequence(0, -1), [ANY, AXIS]),
        (ops.Col2Im((1,), (1,), (0,), (0,)), [REAL, PAIR, PAIR]),
        (ops.DFT(), [Fact(ElementType.f64, (3, 2)), AXIS]),
        (ops.ROIPooling(2, 2, 0.0), [IMAGE, Fact(ElementType.f32, (1, 5))]),
        (ops.Unique(), [Fact(ElementType.f32, (0,))]),
        (ops.NonMaxSuppression(), [Fact(ElementType.f32, (1, 2, 3)), Fact(ElementType.f32, (1, 1, 2))]),
        (ops.NonMaxSuppression(), [Fact(ElementType.u8, (1, 2, 4)), Fact(ElementType.u8, (1, 1, 2))]),
        (ops.Convert(ElementType.string), [REAL]),
        (ops.Interpolate(ops.Resampling.NEAREST, ops.ShapeSource.SIZES), [IMAGE, Fact(ElementType.f32, (4,))]),
        (ops.Interpolate(ops.Resampling.NEAREST, ops.ShapeSource.SCALES), [IMAGE, SCALAR]),
        (ops.Selu(), [NUMBER, NUMBER, NUMBER]),
        (ops.Tile(), [ANY, NUMBER]),
        (ops.CumSum(), [REAL, Fact(ElementType.u8, ())]),
        (ops.ROIAlign(1, 1, 0, 1.0), [IMAGE, Fact(ElementType.f16, (1, 4)), PAIR]),
        (ops.Slice(), [ANY, PAIR, AXIS, PAIR]),
        (ops.Pad(), [IMAGE, Fact(ElementType.i64, (3,)), Fact(ElementType.i64, (3,))]),
        (ops.ReverseSequence(), [REAL, Fact(ElementType.i64, (3,))]),
        (ops.ScatterNDUpdate(), [SCALAR, INTEGER, SCALAR]),
        (ops.ScaledDotProductAttention(), [IMAGE, IMAGE, IMAGE, Fact(ElementType.boolean, (1, 1, 1, 1, 4))]),
        (ops.ScatterUpdate(), [REAL, PAIR, Fact(ElementType.f32, (2, 2)), AXIS]),
        (ops.ScatterUpdate(), [REAL, PAIR, Fact(ElementType.f32, (2, 3, 1)), AXIS]),
        (ops.GridSample(), [IMAGE, Fact(ElementType.f32, (1, 4, 4, 1))]),
        (ops.Reshape(), [IMAGE, Fact.of_array(np.array([-1, 0]))]),
        (ops.GroupNormalization(0, 1e-5), [REAL, ANY, ANY]),
        (ops.GroupNormalization(1, 1e-5), [SCALAR, ANY, ANY]),
        (ops.RandomUniform(ElementType.f32), [Fact.of_array(np.array([-3])), SCALAR, SCALAR]),
        (ops.Multinomial(ElementType.i64, with_replacement=True, log_probs=True), [Fact(ElementType.f32, (3,)), AXIS]),
    ],
    ids=str,
)
def test_what_the_runtime_does_not_take_is_refused(op: Op, inputs: list[Fact]) -> None:
    with pytest.raises(
        ValueError, match=r"expected|takes|axis|axes|fit|cannot|channel|shape|bits|differ|crashes|become"
    ):
        infer(op, tuple(inputs))
