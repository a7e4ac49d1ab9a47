"""One use, or a few, of each operation that moves elements, with inputs: the first input is the data that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelbuild import ops
from modelbuild.graph import Op
from modelbuild.tensor.dtype import Array, ElementType

E = ElementType


@dataclass(frozen=True)
class Case:
    """``moves`` says how many of the inputs are data; the others say where, how far, how often."""

    name: str
    op: Op
    inputs: tuple[Array, ...]
    moves: int = 1

    def __str__(self) -> str:
        return self.name


def data(*shape: int) -> Array:
    return np.random.default_rng(sum(shape) + len(shape)).integers(-50, 50, shape).astype(np.float32) / 4


def ints(*numbers: Any) -> Array:
    return np.array(numbers, np.int64)


def one(index: int) -> Array:
    return np.array(index, np.int64)


def number(value: float) -> Array:
    return np.array(value, np.float32)


BLOCK = ints(1, 1, 2, 2)

CASES = [
    Case("convert", ops.Convert(E.i32), (data(2, 3),)),
    Case("convert_to_boolean", ops.Convert(E.boolean), (data(2, 3),)),
    Case("convert_like", ops.ConvertLike(), (data(2, 3), np.zeros(1, np.int64))),
    Case("shape_of", ops.ShapeOf(), (data(2, 3, 4),)),
    Case("reshape", ops.Reshape(), (data(2, 3, 4), ints(6, 4))),
    Case("reshape_rest", ops.Reshape(), (data(2, 3, 4), ints(2, -1))),
    Case("reshape_zeros", ops.Reshape(special_zero=True), (data(2, 3, 4), ints(0, 0, 2, 2))),
    Case("squeeze", ops.Squeeze(), (data(1, 3, 1), ints(-1))),
    Case("squeeze_all", ops.Squeeze(), (data(1, 3, 1),)),
    Case("unsqueeze", ops.Unsqueeze(), (data(2, 3), ints(0, -1))),
    Case("broadcast", ops.Broadcast(), (data(3, 1), ints(2, 3, 4))),
    Case("broadcast_both_ways", ops.Broadcast("bidirectional"), (data(3, 4), ints(2, 1, 4))),
    Case("broadcast_explicitly", ops.Broadcast("explicit"), (data(3), ints(2, 3, 4), ints(1))),
    Case("tile", ops.Tile(), (data(2, 3), ints(2, 1, 3))),
    Case("tile_less", ops.Tile(), (data(2, 3), ints(2))),
    Case("slice", ops.Slice(), (data(4, 5), ints(1, -3), ints(3, 100), ints(1, 2), ints(0, 1))),
    Case("slice_backwards", ops.Slice(), (data(4, 5), ints(-1), ints(-100), ints(-2), ints(1))),
    Case("slice_nothing", ops.Slice(), (data(4, 5), ints(3), ints(1), ints(1), ints(0))),
    Case(
        "strided_slice",
        ops.StridedSlice(begin_mask=(0, 1), end_mask=(0, 1), shrink_axis_mask=(1, 0)),
        (data(4, 5, 6), ints(1, 0), ints(2, 0), ints(1, 2)),
    ),
    Case(
        "strided_slice_new_axis",
        ops.StridedSlice(begin_mask=(0, 0, 0), end_mask=(0, 0, 0), new_axis_mask=(1, 0, 0), ellipsis_mask=(0, 1, 0)),
        (data(4, 5, 6), ints(0, 0, 2), ints(1, 0, 4), ints(1, 1, 1)),
    ),
    Case("concat", ops.Concat(1), (data(2, 3), data(2, 1), data(2, 4)), moves=3),
    Case("split", ops.Split(2), (data(2, 6), one(1))),
    Case("variadic_split", ops.VariadicSplit(), (data(2, 7), one(-1), ints(2, -1, 1))),
    Case("pad", ops.Pad(), (data(2, 3), ints(0, 1), ints(2, 0), number(7))),
    Case("pad_edge", ops.Pad(ops.PadMode.EDGE), (data(2, 3), ints(0, 1), ints(2, 0))),
    Case("pad_reflect", ops.Pad(ops.PadMode.REFLECT), (data(3, 4), ints(0, 2), ints(2, 0))),
    Case("pad_symmetric", ops.Pad(ops.PadMode.SYMMETRIC), (data(3, 4), ints(0, 2), ints(2, 0))),
    Case("crop", ops.CroppingPad(), (data(4, 5), ints(-1, 1), ints(0, -2), number(7))),
    Case("transpose", ops.Transpose(), (data(2, 3, 4), ints(2, 0, 1))),
    Case("transpose_all", ops.Transpose(), (data(2, 3, 4), ints())),
    Case("depth_to_space", ops.DepthToSpace(2, "blocks_first"), (data(1, 8, 2, 3),)),
    Case("depth_to_space_depth_first", ops.DepthToSpace(2, "depth_first"), (data(1, 8, 2, 3),)),
    Case("space_to_depth", ops.SpaceToDepth(2, "blocks_first"), (data(1, 2, 4, 6),)),
    Case("space_to_depth_depth_first", ops.SpaceToDepth(2, "depth_first"), (data(1, 2, 4, 6),)),
    Case(
        "batch_to_space", ops.BatchToSpace(), (data(4, 1, 2, 3), ints(1, 1, 2, 2), ints(0, 0, 1, 0), ints(0, 0, 0, 1))
    ),
    Case(
        "space_to_batch", ops.SpaceToBatch(), (data(1, 1, 3, 5), ints(1, 1, 2, 2), ints(0, 0, 1, 0), ints(0, 0, 0, 1))
    ),
    Case("shuffle_channels", ops.ShuffleChannels(1, 3), (data(1, 6, 2, 2),)),
    Case("reverse_sequence", ops.ReverseSequence(0, 1), (data(2, 4, 3), ints(3, 4))),
    Case("roll", ops.Roll(), (data(3, 4), ints(1, -2), ints(0, 1))),
    Case(
        "extract_image_patches",
        ops.ExtractImagePatches(sizes=(2, 2), strides=(2, 1), rates=(1, 2), auto_pad="valid"),
        (data(1, 2, 5, 6),),
    ),
    Case(
        "extract_image_patches_padded",
        ops.ExtractImagePatches(sizes=(3, 2), strides=(2, 2), rates=(1, 1), auto_pad="same_upper"),
        (data(1, 2, 5, 6),),
    ),
    Case(
        "col2im",
        ops.Col2Im(strides=(1, 1), dilations=(1, 1), pads_begin=(0, 1), pads_end=(0, 1)),
        (data(1, 8, 10), ints(3, 4), ints(2, 2)),
    ),
    Case("gather", ops.Gather(), (data(4, 3), ints([0, -1], [2, 3]), one(0))),
    Case("gather_last", ops.Gather(), (data(4, 3), one(1), one(-1))),
    Case("gather_beyond", ops.Gather(), (data(4, 3), ints(1, 7), one(0))),
    Case("gather_batches", ops.Gather(1), (data(2, 4, 3), ints([0, 3, 1], [1, 1, 2]), one(1))),
    Case("gather_elements", ops.GatherElements(1), (data(3, 4), ints([0, 3], [1, 1], [2, 0]))),
    Case("gather_nd", ops.GatherND(), (data(3, 4, 2), ints([0, 3], [2, 1]))),
    Case("gather_nd_batches", ops.GatherND(1), (data(2, 4, 3), ints([[1], [3]], [[0], [2]]))),
    Case("scatter_update", ops.ScatterUpdate(), (data(4, 5), ints(3, 0), data(4, 2), one(1))),
    Case("scatter_elements", ops.ScatterElementsUpdate(), (data(3, 4), ints([0, 3], [1, 2]), data(2, 2), one(1))),
    Case("scatter_add", ops.ScatterElementsReduce("sum"), (data(3, 4), ints([0, 0], [1, 2]), data(2, 2), one(1))),
    Case(
        "scatter_mean_alone",
        ops.ScatterElementsReduce("mean", use_init_val=False),
        (data(3, 4), ints([0, 0], [1, 2]), data(2, 2), one(1)),
    ),
    Case(
        "scatter_mean",
        ops.ScatterElementsReduce("mean"),
        (data(3, 4), ints([0, -1], [1, 1], [2, 0]), data(3, 2), one(1)),
    ),
    Case("scatter_least", ops.ScatterElementsReduce("min"), (data(3, 4), ints([0, -1, 0, 0]), data(1, 4), one(0))),
    Case("scatter_nd_sum", ops.ScatterNDReduce("sum"), (data(3, 4), ints([2, 1], [2, 1], [0, 3]), data(3))),
    Case("scatter_nd", ops.ScatterNDUpdate(), (data(3, 4), ints([2], [0]), data(2, 4))),
    Case("scatter_nd_max", ops.ScatterNDReduce("max"), (data(3, 4), ints([2], [2]), data(2, 4))),
    Case("non_zero", ops.NonZero(), (data(3, 4).clip(0),)),
    Case("one_hot", ops.OneHot(1), (ints([0, 2], [1, 5]), one(3), number(2), number(-1))),
    Case("top_k", ops.StableTopK(1, "max", "value", E.i64), (data(3, 5), one(3))),
    Case("top_k_smallest", ops.StableTopK(0, "min", "index", E.i32), (data(5, 2), one(2))),
    Case("cum_sum", ops.CumSum(), (data(3, 4), one(1))),
    Case("cum_sum_backwards", ops.CumSum(exclusive=True, reverse=True), (data(3, 4), one(0))),
    Case("bucketize", ops.Bucketize(E.i64), (data(6), np.array([-5, 0, 1, 5], np.float32))),
    Case("bucketize_left", ops.Bucketize(E.i32, False), (data(6), np.array([-5, 0, 1, 5], np.float32))),
    Case("search_sorted", ops.SearchSorted(right_mode=True), (ints([1, 2, 2, 4], [0, 1, 5, 9]), ints([2, 3], [5, 10]))),
    Case("unique", ops.Unique(), (ints([3, 1], [3, 2]),)),
    Case("unique_unsorted", ops.Unique(sorted=False), (ints([3, 1], [3, 2]),)),
    Case("unique_rows", ops.Unique(), (ints([3, 1], [3, 1], [0, 2]), one(0))),
    Case(
        "gather_tree",
        ops.GatherTree(),
        (
            np.array([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]], np.int32),
            np.array([[[0, 0, 0]], [[0, 1, 1]], [[2, 1, 2]]], np.int32),
            np.array([3], np.int32),
            np.array(10, np.int32),
        ),
        moves=2,
    ),
    Case("embedding_offsets", ops.EmbeddingBagOffsetsSum(), (data(5, 2), ints(0, 2, 3, 4), ints(0, 0, 2), one(0))),
    Case("embedding_offsets_mean", ops.EmbeddingBagOffsets("mean"), (data(5, 2), ints(0, 2, 3, 4), ints(0, 2, 2))),
    Case("embedding_packed", ops.EmbeddingBagPackedSum(), (data(5, 2), ints([0, 2], [1, 2]), data(2, 2))),
    Case("embedding_packed_mean", ops.EmbeddingBagPacked("mean"), (data(5, 2), ints([0, 2], [1, 2]))),
    Case("embedding_segments", ops.EmbeddingSegmentsSum(), (data(5, 2), ints(0, 2, 3, 4), ints(0, 0, 2, 2), one(4))),
    Case("slice_scatter", ops.SliceScatter(), (data(4, 3), data(2, 3), ints(0), ints(4), ints(2), ints(0))),
    Case("select", ops.Select(), (np.array([[True], [False]]), data(2, 3), data(3)), moves=3),
    Case("range", ops.Range(E.i64), (one(2), one(11), one(3)), moves=0),
    Case("range_down", ops.Range(E.f32), (number(3), number(0), number(-0.5)), moves=0),
    Case("eye", ops.Eye(E.f32), (one(2), one(3), one(1)), moves=0),
    Case("eye_batch", ops.Eye(E.i32), (one(2), one(2), one(0), ints(2)), moves=0),
]
