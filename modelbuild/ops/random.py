"""Random numbers: other ones in each inference unless a seed is given."""

from __future__ import annotations

from typing import ClassVar

from modelbuild.graph.op import Op
from modelbuild.ops.axes import length, possible, unknown
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN


class RandomUniform(Op, frozen=True):
    """Numbers at least ``low`` and below ``high``. Inputs: shape, low, high. Two seeds of zero: no seed."""

    output_type: ElementType
    op_seed: int = 0
    global_seed: int = 0
    alignment: str = "tensorflow"

    version: ClassVar[str] = "opset8"
    pure: ClassVar[bool] = False
    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def infer(self, shape: Fact, low: Fact, high: Fact) -> Fact:
        for bound in (low, high):
            if bound.dtype is not self.output_type:
                raise ValueError(f"a bound is {bound}, the numbers are {self.output_type}")
        wanted = shape.elements
        return Fact(self.output_type, unknown(length(shape)) if wanted is None else possible(wanted))


class Multinomial(Op, frozen=True):
    """Class numbers drawn by ``probabilities`` [batch, classes], as many as the second input says."""

    convert_type: ElementType
    with_replacement: bool
    log_probs: bool
    global_seed: int = 0
    op_seed: int = 0

    version: ClassVar[str] = "opset13"
    pure: ClassVar[bool] = False
    precise_inputs: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, probabilities: Fact, samples: Fact) -> Fact:
        if probabilities.shape is None:
            return Fact(self.convert_type)
        if len(probabilities.shape) != 2:
            raise ValueError(f"the probabilities are {probabilities}, [batch, classes] expected")
        return Fact(
            self.convert_type, (*probabilities.shape[:-1], samples.elements[0] if samples.elements else UNKNOWN)
        )
