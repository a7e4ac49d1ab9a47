"""ONNX products of matrices."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT, fast_gelu
from modelbuild.frontends.onnx.handlers.fused import activated
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.graph import Op, Value
from modelbuild.ops.matmul import Equation
from modelbuild.tensor.dtype import ElementType, Ints


@onnx.op("MatMul")
def matmul(build: Build, a: Value, b: Value) -> Value:
    return build(ops.MatMul(), a, b)


@onnx.op("Gemm")
def gemm_broadcasting_where_told(
    build: Build, a: Value, b: Value, c: Value, *,
    alpha: float = 1.0, beta: float = 1.0, broadcast: int = 0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    """Two matrices of the same shape need no broadcasting, so what ``broadcast`` allows is what happens anyway."""
    del broadcast
    return gemm(build, a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


@onnx.op("Gemm", since=7)
def gemm(
    build: Build, a: Value, b: Value, c: Value | None = None, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    y = build(ops.MatMul(bool(transA), bool(transB)), a, b)
    if alpha != 1:
        y = build(ops.Multiply(), y, number(build, alpha, y))
    if c is None or beta == 0:
        return y
    return build(ops.Add(), y, c if beta == 1 else build(ops.Multiply(), c, number(build, beta, c)))


@onnx.op("Einsum", since=12)
def einsum(build: Build, first: Value, *others: Value, equation: str) -> Value:
    return build(ops.Einsum(str(Equation.parse(equation))), first, *others)


@onnx.op("MatMulInteger", since=10)
def matmul_integer(
    build: Build, a: Value, b: Value, a_zero_point: Value | None = None, b_zero_point: Value | None = None
) -> Value:
    """A list of zero points has one a row of ``a``, one a column of ``b``."""
    if a_zero_point is not None and a_zero_point.fact.rank == 1 and a_zero_point.fact.shape != (1,):
        a_zero_point = build(ops.Unsqueeze(), a_zero_point, build.ints(1))
    left, right = centred(build, a, a_zero_point), centred(build, b, b_zero_point)
    return converted(build, build(ops.MatMul(), left, right), ElementType.i32)


def centred(build: Build, x: Value, zero_point: Value | None) -> Value:
    """Quantised numbers less their zero point, as real numbers: the runtime multiplies integers as such anyway."""
    real = converted(build, x, ElementType.f32)
    if zero_point is None:
        return real
    return build(ops.Subtract(), real, converted(build, zero_point, ElementType.f32))


@onnx.op("Det", since=11)
def det(build: Build, x: Value) -> Value:
    """By cofactors, in single precision: exact for the small matrices that occur, far too much work for large ones."""
    size = (x.fact.shape or (0,))[-1]
    if not isinstance(size, int) or not 1 <= size <= 4:
        raise build.refuse(f"its input is {x.fact}; only matrices of up to 4 x 4 are taken")
    wide = converted(build, x, ElementType.f32) if x.fact.dtype.bits < ElementType.f32.bits else x
    return converted(build, _determinant(build, wide, tuple(range(size))), x.fact.dtype)


def _determinant(build: Build, x: Value, columns: Ints) -> Value:
    """Of the last rows and these columns of square matrices, expanded along the first of the rows."""
    row = build(ops.Gather(), x, build.scalar(-len(columns)), build.scalar(-2))
    terms = [build(ops.Gather(), row, build.scalar(column), build.scalar(-1)) for column in columns]
    if len(columns) > 1:
        minors = (_determinant(build, x, (*columns[:i], *columns[i + 1 :])) for i in range(len(columns)))
        terms = [build(ops.Multiply(), term, minor) for term, minor in zip(terms, minors, strict=True)]
    total = terms[0]
    for i, term in enumerate(terms[1:], 1):
        total = build(ops.Subtract() if i % 2 else ops.Add(), total, term)
    return total


# --- com.microsoft ---------------------------------------------------------------------------------------------------


@onnx.op("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    build: Build, a: Value, b: Value, c: Value | None = None, *,
    activation: str = "", activation_alpha: float = 0.0, activation_beta: float = 0.0, activation_gamma: float = 0.0,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    y = gemm(build, a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    return activated(build, y, activation, (activation_alpha, activation_beta, activation_gamma))


@onnx.op("FusedMatMul", domain=MICROSOFT)
def fused_matmul(
    build: Build, a: Value, b: Value, *,
    alpha: float = 1.0, transA: int = 0, transB: int = 0, transBatchA: int = 0, transBatchB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    left = _batch_last(build, a) if transBatchA else a
    right = _batch_last(build, b) if transBatchB else b
    y = build(ops.MatMul(bool(transA), bool(transB)), left, right)
    return y if alpha == 1 else build(ops.Multiply(), y, number(build, alpha, y))


@onnx.op("FusedMatMulActivation", domain=MICROSOFT)
def fused_matmul_activation(
    build: Build, a: Value, b: Value, *,
    activation: str, activation_alpha: float = 0.0, activation_axis: int = 0, activation_beta: float = 0.0,
    activation_gamma: float = 0.0, alpha: float = 1.0,
    transA: int = 0, transB: int = 0, transBatchA: int = 0, transBatchB: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    del activation_axis
    y = fused_matmul(
        build, a, b, alpha=alpha, transA=transA, transB=transB, transBatchA=transBatchA, transBatchB=transBatchB
    )
    return activated(build, y, activation, (activation_alpha, activation_beta, activation_gamma))


@onnx.op("GemmFastGelu", domain=MICROSOFT)
def gemm_fast_gelu(build: Build, x: Value, w: Value, bias: Value | None = None) -> Value:
    return fast_gelu(build, build(ops.MatMul(), x, w), bias)


@onnx.op("CDist", domain=MICROSOFT)
def cdist(build: Build, a: Value, b: Value, *, metric: str = "sqeuclidean") -> Value:
    """Of all rows of ``a`` from all rows of ``b``: |a|^2 + |b|^2 - 2ab, which rounding may make negative."""
    if metric not in {"sqeuclidean", "euclidean"}:
        raise build.refuse(f"its metric {metric} is neither sqeuclidean nor euclidean")
    last = build.ints(1)
    left = build(ops.ReduceSum(keep_dims=True), build(ops.Multiply(), a, a), last)
    right = build(ops.ReduceSum(keep_dims=False), build(ops.Multiply(), b, b), last)
    product = build(ops.MatMul(transpose_b=True), a, b)
    twice = build(ops.Multiply(), product, number(build, 2, product))
    squares = build(ops.Subtract(), build(ops.Add(), left, right), twice)
    y = build(ops.Relu(), squares)
    return y if metric == "sqeuclidean" else build(ops.Sqrt(), y)


@onnx.op("Inverse", domain=MICROSOFT)
def inverse(build: Build, x: Value) -> Value:
    return build(ops.Inverse(), x)


@onnx.op("ComplexMul", domain=MICROSOFT)
def complex_mul(build: Build, a: Value, b: Value) -> Value:
    return _complex_product(build, a, b, ops.Subtract(), ops.Add())


@onnx.op("ComplexMulConj", domain=MICROSOFT)
def complex_mul_conj(build: Build, a: Value, b: Value) -> Value:
    """With the conjugate of ``b``."""
    return _complex_product(build, a, b, ops.Add(), ops.Subtract())


def _complex_product(build: Build, a: Value, b: Value, real: Op, imaginary: Op) -> Value:
    """Of pairs along the last axis; ``real`` and ``imaginary`` join the two products that make each part."""
    (ar, ai), (br, bi) = (build.node(ops.Split(2), v, build.scalar(-1)).outputs for v in (a, b))
    parts = (
        build(real, build(ops.Multiply(), ar, br), build(ops.Multiply(), ai, bi)),
        build(imaginary, build(ops.Multiply(), ai, br), build(ops.Multiply(), ar, bi)),
    )
    return build(ops.Concat(-1), *parts)


def _batch_last(build: Build, x: Value) -> Value:
    """The first axis moved to the place before the last."""
    rank = build.rank(x)
    return build(ops.Transpose(), x, build.ints(*range(1, rank - 1), 0, rank - 1))
