"""In which form each weight is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelbuild.graph import Value
from modelbuild.passes.compress.keep import is_kept_from
from modelbuild.passes.compress.steps import SMALLEST, Steps, steps_for
from modelbuild.passes.compress.weights import Weight
from modelbuild.rewrite import Skip
from modelbuild.targets.compression import PER_CHANNEL, Compression, Int4, Int8
from modelbuild.targets.precision import Precision
from modelbuild.tensor.derived import Cast, Reshaped
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.quantized import extremes
from modelbuild.tensor.storage import Tensor

SMALLEST_GROUP: Final = 32
"""The runtime's products take no smaller ones well; nncf goes down to this too."""

PARTS: Final = 1 << 15
"""Into how many the greatest number is cut to add up squares."""

_INT8 = {"asym": ElementType.u8, "sym": ElementType.i8}
_INT4 = {"asym": ElementType.u4, "sym": ElementType.i4}


@dataclass(frozen=True, slots=True)
class Form:
    """Integers of ``dtype``; ``group`` of them along the only summed axis share a scale, 0: all along all of them."""

    dtype: ElementType
    group: int = 0

    def source(self, weight: Weight) -> Tensor:
        """The numbers as f32, the summed axis cut into groups."""
        tensor = weight.tensor
        exact = tensor if tensor.dtype is ElementType.f32 else Cast(tensor, ElementType.f32)
        if not self.group:
            return exact
        axis, shape = weight.summed[0], tensor.shape
        return Reshaped(exact, (*shape[:axis], shape[axis] // self.group, self.group, *shape[axis + 1 :]))

    def steps(self, weight: Weight) -> Steps | Skip:
        """Found by reading the numbers once."""
        source = self.source(weight)
        summed = (weight.summed[0] + 1,) if self.group else weight.summed
        shape = tuple(1 if axis in summed else extent for axis, extent in enumerate(source.shape))
        return steps_for(*extremes(source, shape), self.dtype, shared=source.size // math.prod(shape))


def per_channel(how: Int8) -> Form:
    return Form(_INT8[how.mode])


def four_bit_forms(found: Sequence[Weight], how: Compression) -> Mapping[Value, Form]:
    """The forms of those of the weights that get four bits; ``found`` is in the order of the graph."""
    products = [weight for weight in found if weight.is_of_products]
    wide = [weight for weight in found if len(weight.summed) == 1] if how.int4.all_layers else products[:-1]
    free = [weight for weight in wide if not is_kept_from(weight.value, how.keep, Precision.INT4)]
    forms = {weight: form for weight in free if (form := _four_bits(weight, how.int4)) is not None}
    if how.int4.ratio < 1:
        forms = dict(_least_hurt(forms, math.floor(how.int4.ratio * sum(weight.tensor.size for weight in wide))))
    return {weight.value: form for weight, form in forms.items()}


def _four_bits(weight: Weight, how: Int4) -> Form | None:
    """None where numbers cannot be paired off or grouped."""
    extent = weight.tensor.shape[weight.summed[0]]
    dtype = _INT4[how.mode]
    if how.group_size == PER_CHANNEL:
        return Form(dtype) if extent % 2 == 0 else None
    # Where groups do not come out even, the largest power of two that does.
    size = how.group_size if extent % how.group_size == 0 else extent & -extent
    if size < min(how.group_size, SMALLEST_GROUP) or size > how.group_size:
        return None
    return Form(dtype, size if size < extent else 0)


def _least_hurt(forms: Mapping[Weight, Form], room: int) -> Iterator[tuple[Weight, Form]]:
    """As many of the weights as have ``room`` numbers together, those first that their steps are finest for."""
    for weight in sorted(forms, key=lambda weight: _hurt(weight, forms[weight])):
        if (room := room - weight.tensor.size) < 0:
            return
        yield weight, forms[weight]


def _hurt(weight: Weight, form: Form) -> float:
    """The square of the rounding error that is to be expected, as a part of the square of the numbers."""
    steps = form.steps(weight)
    if isinstance(steps, Skip):
        return math.inf
    scales = steps.scales.array.astype(np.float64)
    expected = math.fsum(np.square(scales).ravel().tolist()) / scales.size / 12
    present = _mean_square(form.source(weight))
    return expected / present if present else math.inf


def _mean_square(tensor: Tensor) -> float:
    """The same in whatever order a processor adds: numbers are whole parts of the greatest, so all sums are exact."""
    low, high = (float(bound.item()) for bound in extremes(tensor, (1,) * len(tensor.shape)))
    unit = max(-low, high, SMALLEST) / PARTS
    parts = (np.rint(elements / np.float32(unit)).astype(np.float64) for elements in tensor.arrays())
    return sum(int(np.dot(part, part)) for part in parts) / tensor.size * unit * unit
