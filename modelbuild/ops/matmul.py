"""Products of matrices and their generalisation."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, Shape, broadcast, decide_equal, merge_dim, show_shape


class MatMul(Op, frozen=True):
    """As numpy's ``matmul``: the axes before the last two broadcast, an input of one axis is a row or a column.

    An input of one axis is not transposed.
    """

    transpose_a: bool = False
    transpose_b: bool = False

    def infer(self, a: Fact, b: Fact) -> Fact:
        if a.dtype is not b.dtype:
            raise ValueError(f"MatMul of {a} and {b}: the element types differ")
        if a.shape is None or b.shape is None:
            return Fact(a.dtype)
        if not a.shape or not b.shape:
            raise ValueError(f"MatMul of {a} and {b}: a scalar is no matrix")
        left = _matrix(a.shape, 0, transposed=self.transpose_a)
        right = _matrix(b.shape, 1, transposed=self.transpose_b)
        if decide_equal(left[-1], right[-2]) is False:
            raise ValueError(
                f"MatMul of {show_shape(left)} and {show_shape(right)}: {left[-1]} columns meet {right[-2]} rows"
            )
        batch = broadcast(left[:-2], right[:-2])
        rows = left[-2:-1] if len(a.shape) > 1 else ()
        columns = right[-1:] if len(b.shape) > 1 else ()
        return Fact(a.dtype, (*(batch or ()), *rows, *columns))

    def evaluate(self, a: Array, b: Array) -> Array:
        left = a.swapaxes(-1, -2) if self.transpose_a and a.ndim > 1 else a
        right = b.swapaxes(-1, -2) if self.transpose_b and b.ndim > 1 else b
        return np.asarray(np.matmul(left, right)).astype(a.dtype, copy=False)


def _matrix(shape: Shape, lone_axis: int, *, transposed: bool) -> Shape:
    """The shape with at least two axes, as multiplied; a lone axis gets a 1 at ``lone_axis``."""
    if len(shape) == 1:
        return (*shape[:lone_axis], 1, *shape[lone_axis:])
    return (*shape[:-2], shape[-1], shape[-2]) if transposed else shape


class Inverse(Op, frozen=True):
    """The inverses of the square matrices in the last two axes, or with ``adjoint`` of their transposes."""

    adjoint: bool = False

    version: ClassVar[str] = "opset14"

    def infer(self, x: Fact) -> Fact:
        if not x.dtype.is_real:
            raise ValueError(f"the inverse of {x}: a matrix of real numbers expected")
        if x.shape is not None and (len(x.shape) < 2 or decide_equal(*x.shape[-2:]) is False):
            raise ValueError(f"the inverse of {x}: a square matrix expected")
        return Fact(x.dtype, x.shape)

    def evaluate(self, x: Array) -> Array:
        made = np.linalg.inv(x.astype(np.float64)).astype(x.dtype)
        return made.swapaxes(-1, -2) if self.adjoint else made


class Equation(NamedTuple):
    """``inputs`` and ``output`` of an Einsum as tuples of labels; the ellipsis is one of them."""

    inputs: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Equation:
        """Raises ``ValueError`` for what is no equation. Without an arrow the labels named once remain, sorted."""
        left, arrow, right = text.replace(" ", "").partition("->")
        inputs = tuple(_labels(term) for term in left.split(","))
        if arrow:
            return cls(inputs, _labels(right))
        every = [label for term in inputs for label in term]
        once = sorted(label for label in set(every) if label != "..." and every.count(label) == 1)
        return cls(inputs, (*(["..."] if "..." in every else []), *once))

    def __str__(self) -> str:
        return f"{','.join(''.join(term) for term in self.inputs)}->{''.join(self.output)}"


def _labels(term: str) -> tuple[str, ...]:
    if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term):
        raise ValueError(f"{term!r} is no list of labels")
    return tuple(re.findall(r"\.\.\.|[A-Za-z]", term))


class Einsum(Op, frozen=True):
    equation: str

    version: ClassVar[str] = "opset7"

    def infer(self, *inputs: Fact) -> Fact:
        equation = Equation.parse(self.equation)
        if len(equation.inputs) != len(inputs):
            raise ValueError(f"{self.equation} speaks of {len(equation.inputs)} inputs, {len(inputs)} are given")
        extents: dict[str, Dim] = {}
        rest: Shape | None = ()
        known = True
        for labels, fact in zip(equation.inputs, inputs, strict=True):
            if fact.shape is None:
                known = False
                continue
            named, middle = _assign(labels, fact)
            rest = broadcast(rest, middle)
            for label, extent in named:
                extents[label] = merge_dim(extents.get(label, extent), extent)
        if not known:
            return Fact(inputs[0].dtype)
        shape: list[Dim] = []
        for label in equation.output:
            shape += (rest or ()) if label == "..." else (extents[label],)
        return Fact(inputs[0].dtype, tuple(shape))

    def evaluate(self, *inputs: Array) -> Array:
        dtype = inputs[0].dtype
        wide = inputs if dtype.kind in "iu" else [a.astype(np.result_type(dtype, np.float32)) for a in inputs]
        return np.asarray(np.einsum(self.equation, *wide)).astype(dtype)


def _assign(labels: tuple[str, ...], fact: Fact) -> tuple[list[tuple[str, Dim]], Shape]:
    """Extents by label, and the axes that the ellipsis stands for."""
    shape = fact.shape or ()
    at = labels.index("...") if "..." in labels else len(labels)
    tail = len(labels) - at - 1 if "..." in labels else 0
    if len(shape) < at + tail or ("..." not in labels and len(shape) != at):
        raise ValueError(f"{''.join(labels)} does not fit {fact}")
    end = len(shape) - tail
    pairs = [*zip(labels[:at], shape[:at], strict=True), *zip(labels[len(labels) - tail :], shape[end:], strict=True)]
    return pairs, shape[at:end]
