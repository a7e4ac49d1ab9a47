"""Labels of a sequence."""

from __future__ import annotations

import pytest

from modelbuild import ops
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr

T, B = Expr.symbol("T"), Expr.symbol("B")
F32, I32 = ElementType.f32, ElementType.i32


def test_labels_have_the_batch_first() -> None:
    assert ops.CTCGreedyDecoder().infer(Fact(F32, (T, B, 30)), Fact(F32, (T, B))).shape == (B, T, 1, 1)


def test_labels_come_with_their_number() -> None:
    made = ops.CTCGreedyDecoderSeqLen().infer(Fact(F32, (B, T, 30)), Fact(I32, (B,)))
    assert [(f.dtype, f.shape) for f in made] == [(I32, (B, T)), (I32, (B,))]


def test_a_loss_is_one_number_a_sequence() -> None:
    lengths = Fact(I32, (B,))
    assert ops.CTCLoss().infer(Fact(F32, (B, T, 30)), lengths, Fact(I32, (B, T)), lengths).shape == (B,)


def test_scores_without_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="three axes"):
        ops.CTCGreedyDecoder().infer(Fact(F32, (T, B)), Fact(F32, (T, B)))


def test_labels_that_are_not_filled_up_to_the_time_are_refused() -> None:
    lengths = Fact(I32, (2,))
    with pytest.raises(ValueError, match="3 and 4 differ"):
        ops.CTCLoss().infer(Fact(F32, (2, 4, 30)), lengths, Fact(I32, (2, 3)), lengths)
