"""Connectionist temporal classification: labels of a sequence from scores at every time."""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, merge


class CTCGreedyDecoder(Op, frozen=True):
    """Scores [time, batch, classes] and a mask [time, batch] -> labels [batch, time, 1, 1], filled up with -1."""

    ctc_merge_repeated: bool = True

    def infer(self, scores: Fact, mask: Fact) -> Fact:
        time, batch, _ = _three(scores)
        return Fact(scores.dtype, (batch, time, 1, 1))


class CTCGreedyDecoderSeqLen(Op, frozen=True):
    """Scores [batch, time, classes] and lengths [batch] -> labels [batch, time], and how many there are."""

    merge_repeated: bool = True
    classes_index_type: ElementType = ElementType.i32
    sequence_length_type: ElementType = ElementType.i32

    version: ClassVar[str] = "opset6"

    def infer(self, scores: Fact, lengths: Fact, *blank: Fact) -> tuple[Fact, ...]:
        batch, time, _ = _three(scores)
        return Fact(self.classes_index_type, (batch, time)), Fact(self.sequence_length_type, (batch,))


class CTCLoss(Op, frozen=True):
    """The negative logarithm of the probability of labels [batch, time], filled up, for each sequence of a batch."""

    preprocess_collapse_repeated: bool = False
    ctc_merge_repeated: bool = False
    unique: bool = False

    version: ClassVar[str] = "opset4"

    def infer(self, logits: Fact, lengths: Fact, labels: Fact, label_lengths: Fact, *blank: Fact) -> Fact:
        batch, time, _ = _three(logits)
        merge(labels.shape, (batch, time))
        return Fact(logits.dtype, (batch,))


def _three(scores: Fact) -> tuple[Dim, Dim, Dim]:
    if scores.shape is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    if len(scores.shape) != 3:
        raise ValueError(f"the scores are {scores}, three axes expected")
    a, b, c = scores.shape
    return a, b, c
