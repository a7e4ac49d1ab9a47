"""One use, or a few, of each operation that computes, with inputs: the first ``moves`` of them are data."""

from __future__ import annotations

import numpy as np
from moves import Case, data, ints, number

from modelbuild import ops
from modelbuild.ops import (
    Coordinates,
    EpsJoin,
    EpsMode,
    GeluForm,
    GridSampling,
    NearestRounding,
    Outside,
    Padding,
    Resampling,
    Rest,
    Rounding,
    ShapeSource,
    Window,
)
from modelbuild.tensor.dtype import Array

ANY = data(2, 3, 4)
POSITIVE = np.abs(ANY) + np.float32(0.25)
SMALL = (ANY / np.float32(16)).clip(-0.9, 0.9)
WHOLE = np.array([[-7, 7, -8, 8], [3, -3, 1, 0]], np.int32)
DIVISORS = np.array([3, -3, 5, -5], np.int32)
TRUTH = np.array([[True, False], [False, True]])


def shrunk(*shape: int) -> Array:
    return data(*shape) / np.float32(12)


def window(
    *, stride: int = 1, dilation: int = 1, begin: int = 0, end: int = 0, pad: Padding = Padding.EXPLICIT
) -> Window:
    """Over two axes, the same along both."""
    return Window((stride,) * 2, (dilation,) * 2, (begin,) * 2, (end,) * 2, pad)


def average(
    kernel: int, *, rest: Rest = Rest.FLOOR, stride: int = 2, pad: int = 0, exclude: bool = True
) -> ops.AvgPool:
    kind = ops.AvgPool14 if rest is Rest.CEIL_TORCH else ops.AvgPool
    return kind((stride,) * 2, (pad,) * 2, (pad,) * 2, (kernel,) * 2, exclude, rest)


UNARY = [
    (ops.Abs(), ANY), (ops.Acos(), SMALL), (ops.Acosh(), POSITIVE + 1), (ops.Asin(), SMALL), (ops.Asinh(), ANY),
    (ops.Atan(), ANY), (ops.Atanh(), SMALL), (ops.Ceiling(), ANY), (ops.Cos(), ANY), (ops.Cosh(), SMALL),
    (ops.Erf(), SMALL), (ops.Exp(), SMALL), (ops.Floor(), ANY), (ops.Log(), POSITIVE), (ops.Negative(), ANY),
    (ops.Sign(), ANY), (ops.Sin(), ANY), (ops.Sinh(), SMALL), (ops.Sqrt(), POSITIVE), (ops.Tan(), SMALL),
    (ops.Tanh(), ANY), (ops.Round(), ANY), (ops.LogicalNot(), TRUTH), (ops.BitwiseNot(), WHOLE), (ops.Relu(), ANY),
    (ops.Elu(0.5), ANY), (ops.Sigmoid(), ANY), (ops.HSigmoid(), ANY), (ops.HSwish(), ANY), (ops.Swish(), ANY),
    (ops.Mish(), ANY), (ops.Gelu(), ANY), (ops.SoftPlus(), ANY), (ops.SoftSign(), ANY),
    (ops.Clamp(-1.0, 2.0), ANY), (ops.Softmax(1), ANY), (ops.LogSoftmax(2), ANY), (ops.GRN(1.0), shrunk(2, 3, 4, 5)),
]  # fmt: skip
BINARY = [
    (ops.Add(), ANY, data(3, 1)), (ops.Subtract(), ANY, data(4)), (ops.Multiply(), ANY, data(1, 3, 1)),
    (ops.Divide(), ANY, POSITIVE), (ops.Maximum(), ANY, data(4)), (ops.Minimum(), ANY, data(4)),
    (ops.Power(), POSITIVE, number(1.5)), (ops.SquaredDifference(), ANY, data(4)), (ops.Mod(), WHOLE, DIVISORS),
    (ops.FloorMod(), WHOLE, DIVISORS), (ops.Equal(), ANY, data(4)), (ops.NotEqual(), ANY, data(4)),
    (ops.Less(), ANY, data(4)), (ops.LessEqual(), ANY, data(4)), (ops.Greater(), ANY, data(4)),
    (ops.GreaterEqual(), ANY, data(4)), (ops.LogicalAnd(), TRUTH, TRUTH[:1]), (ops.LogicalOr(), TRUTH, TRUTH[:1]),
    (ops.LogicalXor(), TRUTH, TRUTH[:1]), (ops.BitwiseAnd(), WHOLE, DIVISORS), (ops.BitwiseOr(), WHOLE, DIVISORS),
    (ops.BitwiseXor(), WHOLE, DIVISORS), (ops.PRelu(), ANY, number(0.25)),
]  # fmt: skip
REDUCTIONS = [
    ops.ReduceSum, ops.ReduceMean, ops.ReduceProd, ops.ReduceMax, ops.ReduceMin, ops.ReduceL1, ops.ReduceL2,
]  # fmt: skip
IMAGE = shrunk(2, 4, 7, 6)
POINTS = data(2, 3, 4, 2) / np.float32(9.1)  # none in the middle between two elements

CASES = [
    *(Case(f"{type(op).__name__}_{i}", op, (x,)) for i, (op, x) in enumerate(UNARY)),
    *(Case(f"{type(op).__name__}_{i}", op, (a, b), 2) for i, (op, a, b) in enumerate(BINARY)),
    *(Case(f"{kind.__name__}_kept", kind(keep_dims=True), (SMALL, ints(-1, 0))) for kind in REDUCTIONS),
    *(Case(f"{kind.__name__}_gone", kind(keep_dims=False), (SMALL, ints(1))) for kind in REDUCTIONS),
    Case("all", ops.ReduceLogicalAnd(keep_dims=False), (TRUTH, ints(1))),
    Case("any", ops.ReduceLogicalOr(keep_dims=True), (TRUTH, ints(0))),
    Case("round_away", ops.Round(Rounding.HALF_AWAY_FROM_ZERO), (ANY,)),
    Case("gelu_tanh", ops.Gelu(GeluForm.TANH), (SMALL,)),
    Case("is_nan", ops.IsNaN(), (np.array([1, np.nan, np.inf], np.float32),)),
    Case("is_finite", ops.IsFinite(), (np.array([1, np.nan, np.inf], np.float32),)),
    Case("is_inf_below", ops.IsInf(detect_positive=False), (np.array([np.nan, np.inf, -np.inf], np.float32),)),
    Case("prelu_channels", ops.PRelu(), (IMAGE, data(4)), 1),
    Case("selu", ops.Selu(), (SMALL, number(1.5), number(1.1))),
    Case("hard_sigmoid", ops.HardSigmoid(), (ANY, number(0.2), number(0.5))),
    Case("swish_beta", ops.Swish(), (ANY, number(1.5))),
    Case("matmul", ops.MatMul(), (shrunk(2, 3, 4), shrunk(4, 5)), 2),
    Case("matmul_turned", ops.MatMul(transpose_a=True, transpose_b=True), (shrunk(4, 3), shrunk(2, 5, 4)), 2),
    Case("matmul_row", ops.MatMul(), (shrunk(4), shrunk(2, 4, 5)), 2),
    Case("matmul_column", ops.MatMul(), (shrunk(2, 5, 4), shrunk(4)), 2),
    Case("inverse", ops.Inverse(), (shrunk(2, 3, 3) + 2 * np.eye(3, dtype=np.float32),), 1),
    Case("matmul_scalar", ops.MatMul(), (shrunk(4), shrunk(4) + 1), 2),
    Case("einsum", ops.Einsum("abc,cd->bad"), (shrunk(2, 3, 4), shrunk(4, 5)), 2),
    Case("einsum_ellipsis", ops.Einsum("...ij,...jk->...ik"), (shrunk(2, 3, 4), shrunk(2, 4, 5)), 2),
    Case("convolution", ops.Convolution(window(stride=2, begin=1, end=2)), (IMAGE, shrunk(3, 4, 3, 2)), 2),
    Case("convolution_same", ops.Convolution(window(stride=2, pad=Padding.SAME_LOWER)), (IMAGE, shrunk(3, 4, 4, 4)), 2),
    Case("convolution_dilated", ops.Convolution(window(dilation=2)), (IMAGE, shrunk(3, 4, 2, 3)), 2),
    Case("convolution_valid", ops.Convolution(window(begin=1, pad=Padding.VALID)), (IMAGE, shrunk(3, 4, 2, 3)), 2),
    Case("group_convolution", ops.GroupConvolution(window(begin=1)), (IMAGE, shrunk(2, 3, 2, 3, 3)), 2),
    Case("backprop", ops.ConvolutionBackpropData(window(stride=2, begin=1)), (IMAGE, shrunk(4, 3, 3, 2)), 2),
    Case("backprop_dilated", ops.ConvolutionBackpropData(window(dilation=2)), (IMAGE, shrunk(4, 3, 3, 2)), 2),
    Case("backprop_longer", ops.ConvolutionBackpropData(window(stride=2), (1, 1)), (IMAGE, shrunk(4, 3, 3, 2)), 2),
    Case(
        "backprop_upper",
        ops.ConvolutionBackpropData(window(stride=2, pad=Padding.SAME_UPPER)),
        (IMAGE, shrunk(4, 3, 3, 3), ints(14, 12)),
        1,
    ),
    Case(
        "backprop_lower",
        ops.ConvolutionBackpropData(window(stride=2, pad=Padding.SAME_LOWER)),
        (IMAGE, shrunk(4, 3, 3, 3), ints(14, 12)),
        1,
    ),
    Case("group_backprop", ops.GroupConvolutionBackpropData(window(stride=2)), (IMAGE, shrunk(2, 2, 3, 3, 3)), 2),
    Case(
        "deformable",
        ops.DeformableConvolution(window(begin=1, end=1), 2, 2, bilinear_interpolation_pad=True),
        (IMAGE, shrunk(2, 36, 7, 6), shrunk(4, 2, 3, 3), shrunk(2, 18, 7, 6)),
        1,
    ),
    Case("max_pool", ops.MaxPool(window(stride=2, begin=1, end=1), (3, 3)), (IMAGE,)),
    Case("max_pool_dilated", ops.MaxPool(window(dilation=2), (3, 2)), (IMAGE,)),
    Case("max_pool_ceil", ops.MaxPool(window(stride=2), (2, 2), Rest.CEIL), (IMAGE,)),
    Case("max_pool_same", ops.MaxPool(window(stride=2, pad=Padding.SAME_UPPER), (3, 3), axis=2), (IMAGE,)),
    Case("max_pool_torch", ops.MaxPool14(window(stride=3, begin=1, end=1), (2, 2), Rest.CEIL_TORCH), (IMAGE,)),
    Case("avg_pool", average(3, pad=1), (IMAGE,)),
    Case("avg_pool_counting", average(3, pad=1, exclude=False), (IMAGE,)),
    Case("avg_pool_ceil", average(3, rest=Rest.CEIL), (IMAGE,)),
    Case("avg_pool_torch", average(2, rest=Rest.CEIL_TORCH, stride=3, pad=1, exclude=False), (IMAGE,)),
    Case(
        "avg_pool_dilated",
        ops.AvgPool16((1, 1), (1, 1), (0, 1), (2, 3), exclude_pad=True, dilations=(2, 2)),
        (IMAGE,),
    ),
    Case("adaptive", ops.AdaptiveAvgPool(), (IMAGE, ints(3, 4))),
    Case(
        "batch_norm",
        ops.BatchNormInference(1e-3),
        (IMAGE, shrunk(4), shrunk(4), shrunk(4), np.abs(shrunk(4))),
        1,
    ),
    Case("mvn", ops.MVN(1e-3), (IMAGE, ints(2, 3))),
    Case("mvn_outside", ops.MVN(1e-3, eps_mode=EpsMode.OUTSIDE_SQRT), (IMAGE, ints(-1))),
    Case("mvn_centred", ops.MVN(1e-3, normalize_variance=False), (IMAGE, ints(1, 2, 3))),
    Case("lrn", ops.LRN(0.1, 0.75, 1.0, 3), (IMAGE, ints(1))),
    Case("normalize_added", ops.NormalizeL2(0.1, EpsJoin.ADD), (IMAGE, ints(1))),
    Case("normalize_most", ops.NormalizeL2(0.1, EpsJoin.MAX), (IMAGE, ints(1, 2, 3))),
    Case("group_norm", ops.GroupNormalization(2, 1e-3), (IMAGE, shrunk(4), shrunk(4)), 1),
    *(
        Case(
            f"{mode}_{coordinates}",
            ops.Interpolate(mode, ShapeSource.SIZES, coordinates),
            (IMAGE, ints(*sizes), ints(2, 3)),
        )
        for mode in Resampling
        for coordinates, sizes in zip(Coordinates, [(9, 13), (4, 11), (14, 3), (5, 5), (10, 9)], strict=True)
    ),
    *(
        Case(
            f"nearest_{rounding}",
            ops.Interpolate(Resampling.NEAREST, ShapeSource.SCALES, Coordinates.HALF_PIXEL, rounding),
            (IMAGE, np.array([1.5, 0.6], np.float32), ints(2, 3)),
        )
        for rounding in NearestRounding
    ),
    *(
        Case(f"grid_{mode}_{outside}_{corners}", ops.GridSample(corners, mode, outside), (IMAGE, POINTS), 2)
        for mode in GridSampling
        for outside in Outside
        for corners in (False, True)
    ),
]  # fmt: skip
