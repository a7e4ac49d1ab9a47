"""One use, or a few, of each operation that neither computes element by element nor moves elements, with inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from moves import Case, data, ints, number, one

from modelbuild import ops
from modelbuild.graph import Graph
from modelbuild.graph.text import parse
from modelbuild.ops import BoxEncoding, Direction, Resampling, ShapeSource, Window
from modelbuild.tensor.dtype import Array, ElementType

I32, I64 = ElementType.i32, ElementType.i64
BATCH, TIME, INPUT, HIDDEN = 2, 4, 3, 5
GATES = ("sigmoid", "tanh", "tanh")

BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], np.float32)
SCORES = np.array([[[0.9, 0.75, 0.6]]], np.float32)
FEATURES = data(1, 8, 6, 6)
FILTERS = np.ones((2, 8, 3, 3), np.float32)
REGION = np.array([[0, 0, 0, 4, 4]], np.float32)
"""A region of the first image."""

ACROSS = Window((1, 1), (1, 1), (0, 0), (0, 0))
BYTES = np.frombuffer(b"abcd", np.uint8)


def whole(*numbers: Any) -> Array:
    return np.array(numbers, np.int32)


def positive(*shape: int) -> Array:
    return np.abs(data(*shape)) / 13


def detection() -> list[Case]:
    most, overlap, least = one(3), number(0.5), number(0.0)
    thresholds = (most, overlap, least)
    cells = ints(3, 3), ints(48, 48)
    yolo = ops.RegionYolo((1.0, 2.0, 3.0, 4.0), 1, 4, 3, 3, 2)
    return [
        Case("nms", ops.NonMaxSuppression(), (BOXES, SCORES, *thresholds), 2),
        Case("nms_of_middles", ops.NonMaxSuppression(BoxEncoding.CENTER), (BOXES, SCORES, *thresholds), 2),
        Case("nms_of_opset5", ops.NonMaxSuppression5(), (BOXES, SCORES, *thresholds), 2),
        Case("nms_rotated", ops.NMSRotated(), (np.pad(BOXES, [(0, 0), (0, 0), (0, 1)]), SCORES, *thresholds), 2),
        Case("matrix_nms", ops.MatrixNms(), (BOXES, SCORES), 2),
        Case("multiclass_nms", ops.MulticlassNms(iou_threshold=0.5), (BOXES, SCORES), 2),
        Case("roi_align", ops.ROIAlign(2, 2, 2, 1.0), (FEATURES, REGION[:, 1:], whole(0)), 2),
        Case("roi_align_of_opset3", ops.ROIAlign3(2, 2, 2, 1.0), (FEATURES, REGION[:, 1:], whole(0)), 2),
        Case("roi_align_rotated", ops.ROIAlignRotated(2, 2, 2, 1.0), (FEATURES, REGION, whole(0)), 2),
        Case("roi_pooling", ops.ROIPooling(2, 2, 1.0), (FEATURES, REGION), 2),
        Case("psroi_pooling", ops.PSROIPooling(2, 2, 1.0), (FEATURES, REGION), 2),
        Case(
            "psroi_pooling_deformable",
            ops.DeformablePSROIPooling(2, 1.0, 2),
            (FEATURES, REGION),
            2,
        ),
        Case("prior_box", ops.PriorBox((8.0,), aspect_ratio=(2.0,), step=16.0, variance=(0.1,)), cells, 0),
        Case("prior_box_clustered", ops.PriorBoxClustered((8.0,), (4.0,), step=16.0, variance=(0.1,)), cells, 0),
        Case(
            "detection_output",
            ops.DetectionOutput((3,), 0.45, top_k=3, normalized=True),
            (data(1, 12), positive(1, 6), positive(1, 2, 12)),
            3,
        ),
        Case(
            "proposal",
            ops.Proposal(16, 8, 4, 0.7, 16, 4, (0.5, 1.0), (8.0,)),
            (positive(1, 4, 3, 3), data(1, 8, 3, 3), np.array([48, 48, 1], np.float32)),
            2,
        ),
        Case(
            "generate_proposals",
            ops.GenerateProposals(0.0, 0.7, 8, 4),
            (np.array([[48, 48, 1]], np.float32), positive(3, 3, 2, 4), data(1, 8, 3, 3), positive(1, 2, 3, 3)),
        ),
        Case("region_yolo", yolo, (data(1, 16, 3, 3),)),
        Case("reorg_yolo", ops.ReorgYolo((2,)), (FEATURES,)),
    ]


def recurrent() -> list[Case]:
    return [
        *_layers("lstm", ops.LSTMCell, ops.LSTMSequence, GATES, states=2, rows=4),
        *_layers("gru", ops.GRUCell, ops.GRUSequence, GATES[:2], states=1, rows=3),
        *_layers("rnn", ops.RNNCell, ops.RNNSequence, GATES[1:2], states=1, rows=1),
    ]


def _layers(name: str, cell: Any, sequence: Any, gates: tuple[str, ...], *, states: int, rows: int) -> list[Case]:
    def weights(*ways: int) -> tuple[Array, ...]:
        size = rows * HIDDEN
        return data(*ways, size, INPUT) / 40, data(*ways, size, HIDDEN) / 40, data(*ways, size) / 40

    def run(way: Direction, ways: int) -> Case:
        state = data(BATCH, ways, HIDDEN) / 13
        inputs = (data(BATCH, TIME, INPUT), *[state] * states, whole(*[TIME] * BATCH), *weights(ways))
        return Case(f"{name}_{way}", sequence(HIDDEN, gates, direction=way), inputs, 1)

    state = data(BATCH, HIDDEN) / 13
    return [
        Case(f"{name}_cell", cell(HIDDEN, gates), (data(BATCH, INPUT), *[state] * states, *weights()), 1),
        run(Direction.FORWARD, 1),
        run(Direction.BIDIRECTIONAL, 2),
    ]


def labels() -> list[Case]:
    lengths, scores = whole(*[TIME] * BATCH), data(BATCH, TIME, 6)
    return [
        Case("ctc", ops.CTCGreedyDecoder(), (data(TIME, BATCH, 6), np.ones((TIME, BATCH), np.float32))),
        Case("ctc_of_lengths", ops.CTCGreedyDecoderSeqLen(), (scores, lengths)),
        Case("ctc_loss", ops.CTCLoss(), (scores, lengths, whole([1, 2, 0, 0], [2, 1, 0, 0]), whole(2, 2))),
    ]


def signals() -> list[Case]:
    waves, window, frame = data(2, 6, 2), positive(8), (one(8), one(4))
    return [
        Case("dft", ops.DFT(), (waves, ints(1))),
        Case("idft", ops.IDFT(), (waves, ints(1))),
        Case("rdft", ops.RDFT(), (data(2, 6), ints(1))),
        Case("irdft", ops.IRDFT(), (waves, ints(1))),
        Case("stft", ops.STFT(), (data(1, 32), window, *frame)),
        Case("istft", ops.ISTFT(), (data(1, 5, 7, 2), window + 1, *frame)),
    ]


def control() -> list[Case]:
    row = parse("graph g(%x: f32[1,2], %s: f32[1,2]) {\n %y = Add(%x, %s) : f32[1,2]\n return %y\n}")
    parts, carried, every = ops.Sliced(0, axis=0), ops.Merged(1, 0), ops.Stacked(0, axis=0)
    yes, going = np.array(True), ops.Merged(2, 1)
    return [
        Case("if", ops.If(_unary("Abs"), _unary("Exp"), (1,), (1,)), (yes, data(2, 3))),
        Case("loop", ops.Loop(_counted(), (ops.Iteration(), going), (ops.Last(1),)), (one(3), yes, data(1, 2)), 0),
        Case("iterator", ops.TensorIterator(row, (parts, carried), (every,)), (data(4, 2), data(1, 2)), 2),
    ]


def _unary(name: str) -> Graph:
    return parse(f"graph g(%x: f32[2,3]) {{\n %y = {name}(%x) : f32[2,3]\n return %y\n}}")


def _counted() -> Graph:
    return parse(
        "graph g(%i: i64[], %x: f32[1,2]) {\n %go = Const() {value=[true]} : boolean[]\n %y = Abs(%x) : f32[1,2]\n"
        " return %go, %y\n}"
    )


def choices() -> list[Case]:
    return [
        Case("uniform", ops.RandomUniform(ElementType.f32, 1, 2), (ints(2, 3), number(0), number(1)), 0),
        Case("multinomial", ops.Multinomial(I64, with_replacement=True, log_probs=False), (positive(2, 6), ints(3))),
    ]


def bits() -> list[Case]:
    ends = [number(bound) for bound in (-1, 1, -1, 1)]
    shifts = whole(1, 2, 3)
    return [
        Case("fake_quantize", ops.FakeQuantize(256), (data(2, 3), *ends)),
        Case("fake_convert", ops.FakeConvert(), (data(2, 3), number(0.5))),
        Case("shift_left", ops.BitwiseLeftShift(), (whole(1, 2, 3), shifts), 2),
        Case("shift_right", ops.BitwiseRightShift(), (whole(10, 20, 30), shifts), 2),
        Case("binary_convolution", ops.BinaryConvolution(ACROSS), (np.sign(FEATURES), FILTERS)),
    ]


CASES = [
    *detection(),
    *recurrent(),
    *labels(),
    *signals(),
    *control(),
    *choices(),
    *bits(),
    Case("max_adaptive", ops.AdaptiveMaxPool(I32), (FEATURES, ints(2, 3))),
    Case("attention", ops.ScaledDotProductAttention(causal=True), (data(1, 4, 8), data(1, 5, 8), data(1, 5, 8)), 3),
    Case(
        "resize_of_opset4",
        ops.Interpolate4(Resampling.LINEAR_ONNX, ShapeSource.SIZES),
        (FEATURES, ints(3, 9), np.ones(2, np.float32), ints(2, 3)),
    ),
    Case("strings_packed", ops.StringTensorPack(), (ints(0, 2), ints(2, 4), BYTES)),
    Case("strings_unpacked", ops.StringTensorUnpack(), (np.array(["ab", "c"], object),)),
]
