"""Operations in the form that they had in an earlier opset, and in operations that were there already."""

from __future__ import annotations

import string

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.graph.known import infer
from modelbuild.graph.op import Op
from modelbuild.ops.matmul import Equation
from modelbuild.passes.legalize.making import known_as, like
from modelbuild.rewrite import Match, Rewriter, Rule, Skip, anything, of, rule
from modelbuild.tensor.dtype import ElementType

resize = of(ops.Interpolate)
suppression = of(ops.NonMaxSuppression)
region = of(ops.ROIAlign)
eye = of(ops.Eye)
product = of(ops.Einsum)
rows, values = anything(), anything()
search = of(ops.SearchSorted, rows, values)


@rule(resize)
def resize_as_in_opset4(m: Match, g: Rewriter) -> Value | Skip | None:
    """Interpolate(x, sizes or scales, axes)  ->  the same with an input for each, of which one is not looked at"""
    op, (data, target, *axes) = m[resize].op, m[resize].inputs
    if isinstance(op, ops.Interpolate4):
        return None
    extent = target.fact.shape and target.fact.shape[0]
    if not isinstance(extent, int):
        return Skip("it is not known how many axes are resized")
    by_sizes = op.shape_calculation_mode is ops.ShapeSource.SIZES
    idle = g.constant(np.ones(extent, np.float32 if by_sizes else np.int64), "unused")
    sizes, scales = (target, idle) if by_sizes else (idle, target)
    return known_as(g(ops.Interpolate4.of(op), data, sizes, scales, *axes), m[resize].output)


@rule(suppression)
def suppress_as_in_opset5(m: Match, g: Rewriter) -> tuple[Value, ...] | None:
    """NonMaxSuppression of opset 9  ->  of opset 5, which a runtime may fill up with -1 likewise"""
    op = m[suppression].op
    if isinstance(op, ops.NonMaxSuppression5):
        return None
    form = ops.NonMaxSuppression5(op.box_encoding, op.sort_result_descending, op.output_type)
    return g.node(form, *m[suppression].inputs).outputs


@rule(region)
def align_as_in_opset3(m: Match, g: Rewriter) -> Value | Skip:
    """ROIAlign {aligned_mode=asymmetric}  ->  ROIAlign of opset 3, which knows no other"""
    op = m[region].op
    if op.aligned_mode is not ops.AlignedMode.ASYMMETRIC:
        return Skip(f"it knows no {op.aligned_mode}")
    form = ops.ROIAlign3(op.pooled_h, op.pooled_w, op.sampling_ratio, op.spatial_scale, op.mode)
    return g(form, *m[region].inputs)


def _rounded_plainly(kind: type[ops.MaxPool14 | ops.AvgPool14], earlier: type[Op]) -> Rule:
    """Pool {ceil_torch}  ->  the earlier form {ceil} or {floor}, where all axes have as many windows so"""
    root = of(kind)

    def spell(m: Match, g: Rewriter) -> tuple[Value, ...] | Skip:
        node = m[root]
        shape = node.outputs[0].fact.static_shape
        for rest in (ops.Rest.CEIL, ops.Rest.FLOOR):
            form = _with_rest(node.op, earlier, rest)
            first, *_ = infer(form, tuple(v.fact for v in node.inputs))
            if shape is not None and first.shape == shape:
                return g.node(form, *node.inputs).outputs
        return Skip("its axes are open, or want to be rounded differently")

    return Rule(f"round_{kind.__name__.lower()}_plainly", root, spell)


def _with_rest(op: Op, kind: type[Op], rest: ops.Rest) -> Op:
    attributes = {name: getattr(op, name) for name in kind.__struct_fields__}
    return kind(**{**attributes, "rounding_type": rest})


@rule(eye)
def spell_eye(m: Match, g: Rewriter) -> Value | Skip:
    """Eye(n, m, k)  ->  Convert(Range(n) + k == Range(m))"""
    if len(m[eye].inputs) > 3:
        return Skip("it has a batch")
    height, width, diagonal = (g(ops.Reshape(), one, g.ints([])) for one in m[eye].inputs)
    down, right = (g(ops.Range(ElementType.i64), like(g, n, 0), n, like(g, n, 1)) for n in (height, width))
    shifted = g(ops.Add(), down, g(ops.Convert(ElementType.i64), diagonal))
    met = g(ops.Equal(), g(ops.Unsqueeze(), shifted, g.ints([1])), g(ops.Unsqueeze(), right, g.ints([0])))
    return known_as(g(ops.Convert(m[eye].op.output_type), met), m[eye].output)


@rule(search)
def spell_search(m: Match, g: Rewriter) -> Value:
    """SearchSorted(rows, v)  ->  how many elements of its row are less than each of v, or not greater"""
    op = m[search].op
    row = g(ops.Unsqueeze(), m[rows], g.ints([-2]))
    value = g(ops.Unsqueeze(), m[values], g.ints([-1]))
    before = g(ops.LessEqual() if op.right_mode else ops.Less(), row, value)
    count = g(ops.ReduceSum(keep_dims=False), g(ops.Convert(op.output_type), before), g.ints([-1]))
    return known_as(count, m[search].output)


@rule(product)
def spell_ellipsis(m: Match, g: Rewriter) -> Value | Skip | None:
    """Einsum(...ij,...jk->...ik)  ->  Einsum(abij,abjk->abik)"""
    node, equation = m[product], Equation.parse(m[product].op.equation)
    if not any("..." in labels for labels in equation.inputs):
        return None
    ranks = [value.fact.rank for value in node.inputs]
    taken = {label for labels in equation.inputs for label in labels}
    free = [letter for letter in string.ascii_letters if letter not in taken]
    widths = {
        rank - len(labels) + 1
        for labels, rank in zip(equation.inputs, ranks, strict=True)
        if "..." in labels and rank is not None
    }
    if None in ranks or len(widths) != 1:
        return Skip("it stands for axes of which the number is not known, or differs")
    (width,) = widths
    if any(_stretches(value, labels, width) for value, labels in zip(node.inputs, equation.inputs, strict=True)):
        return Skip("an axis that it stands for may be broadcast")
    letters = "".join(free[:width])
    spelled = str(equation).replace("...", letters)
    return known_as(g(ops.Einsum(spelled), *node.inputs), node.output)


def _stretches(value: Value, labels: tuple[str, ...], width: int) -> bool:
    """Whether an axis under the ellipsis has one element, or may have."""
    if "..." not in labels:
        return False
    at = labels.index("...")
    return any(extent == 1 or not isinstance(extent, int) for extent in (value.fact.shape or ())[at : at + width])


def _sums_only(kind: type[ops.EmbeddingBagOffsets | ops.EmbeddingBagPacked], earlier: type[Op]) -> Rule:
    """Bag {reduction=sum}  ->  the form that only adds up"""
    root = of(kind)

    def spell(m: Match, g: Rewriter) -> Value | Skip:
        if m[root].op.reduction != "sum":
            return Skip("earlier ones only add up")
        return g(earlier(), *m[root].inputs)

    return Rule(f"spell_{kind.__name__.lower()}", root, spell)


RULES = (
    resize_as_in_opset4,
    suppress_as_in_opset5,
    align_as_in_opset3,
    _rounded_plainly(ops.MaxPool14, ops.MaxPool),
    _rounded_plainly(ops.AvgPool14, ops.AvgPool),
    spell_eye,
    spell_search,
    spell_ellipsis,
    _sums_only(ops.EmbeddingBagOffsets, ops.EmbeddingBagOffsetsSum),
    _sums_only(ops.EmbeddingBagPacked, ops.EmbeddingBagPackedSum),
)
