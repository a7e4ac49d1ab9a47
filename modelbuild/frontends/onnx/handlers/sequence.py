"""ONNX sequences: lists of tensors that are known one by one while the model is translated."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Items
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.graph import Value
from modelbuild.ops.axes import LONGEST


@onnx.op("SequenceEmpty", since=11)
def sequence_empty(build: Build, *, dtype: int | None = None) -> Items:
    return Items(())


@onnx.op("SequenceConstruct", since=11)
def sequence_construct(build: Build, first: Value, *rest: Value) -> Items:
    return Items((first, *rest))


@onnx.op("SequenceAt", since=11)
def sequence_at(build: Build, input_sequence: Items, position: Value) -> Value:
    values = input_sequence.values
    return values[build.axis(build.known_int(position, "position"), len(values))]


@onnx.op("SequenceInsert", since=11)
def sequence_insert(build: Build, input_sequence: Items, tensor: Value, position: Value | None = None) -> Items:
    values = input_sequence.values
    count = len(values)
    at = count if position is None else build.known_int(position, "position")
    if not -count <= at <= count:
        raise ValueError(f"position {at} is not in a sequence of {count}")
    at = at if at >= 0 else at + count
    return Items((*values[:at], tensor, *values[at:]))


@onnx.op("SequenceErase", since=11)
def sequence_erase(build: Build, input_sequence: Items, position: Value | None = None) -> Items:
    values = input_sequence.values
    at = build.axis(-1 if position is None else build.known_int(position, "position"), len(values))
    return Items((*values[:at], *values[at + 1 :]))


@onnx.op("SequenceLength", since=11)
def sequence_length(build: Build, input_sequence: Items) -> Value:
    return build.scalar(len(input_sequence.values))


@onnx.op("ConcatFromSequence", since=11)
def concat_from_sequence(build: Build, input_sequence: Items, *, axis: int, new_axis: int = 0) -> Value:
    values = input_sequence.values
    if not values:
        raise ValueError("an empty sequence cannot be joined")
    if new_axis:
        values = tuple(build(ops.Unsqueeze(), value, build.scalar(axis)) for value in values)
    return build(ops.Concat(axis), *values)


@onnx.op("SplitToSequence", since=11)
def split_to_sequence(build: Build, x: Value, split: Value | None = None, *, axis: int = 0, keepdims: int = 1) -> Items:
    at = build.axis(axis, build.rank(x))
    extent = (x.fact.shape or ())[at]
    lengths = None if split is None else build.known_ints(split, "split")
    if split is None or split.fact.rank == 0:
        part = lengths[0] if lengths else 1
        if not isinstance(extent, int):
            raise build.refuse(f"into how many parts axis {at} of {x.fact} is split is not known yet")
        if part < 1 or extent // part > LONGEST:
            raise ValueError(f"axis {at} of {x.fact} is split into parts of {part}")
        lengths = (*(part,) * (extent // part), *((extent % part,) if extent % part else ()))
    parts = build.node(ops.VariadicSplit(), x, build.scalar(at), build.ints(*(lengths or ()))).outputs
    if split is None and not keepdims:
        parts = tuple(build(ops.Squeeze(), part, build.scalar(at)) for part in parts)
    return Items(parts)
