"""In which form each weight is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelbuild.graph import Value
from modelbuild.passes.compress.keep import is_kept_from
from modelbuild.passes.compress.weights import Weight
from modelbuild.targets.compression import PER_CHANNEL, Compression, Int4, Int8
from modelbuild.targets.precision import Precision
from modelbuild.tensor.dtype import ElementType, Ints

SMALLEST_GROUP: Final = 32
"""The runtime's products take no smaller ones well; nncf goes down to this too."""

_INT8 = {"asym": ElementType.u8, "sym": ElementType.i8}
_INT4 = {"asym": ElementType.u4, "sym": ElementType.i4}


@dataclass(frozen=True, slots=True)
class Form:
    """Integers of ``dtype``; ``group`` of them along the only summed axis share a scale, 0: all along all of them."""

    dtype: ElementType
    group: int = 0

    def grouped(self, weight: Weight) -> Ints:
        """The shape of ``weight`` with its summed axis cut into groups."""
        shape, axis = weight.tensor.shape, weight.summed[0]
        return (*shape[:axis], shape[axis] // self.group, self.group, *shape[axis + 1 :])

    def shared(self, weight: Weight) -> Ints:
        """The shape of the scales."""
        if self.group:
            axis = weight.summed[0]
            shape = self.grouped(weight)
            return (*shape[: axis + 1], 1, *shape[axis + 2 :])
        return tuple(1 if axis in weight.summed else extent for axis, extent in enumerate(weight.tensor.shape))


def per_channel(how: Int8) -> Form:
    return Form(_INT8[how.mode])


def four_bit_forms(found: Sequence[Weight], how: Compression) -> Mapping[Value, Form]:
    """The forms of those of the weights that get four bits; ``found`` is in the order of the graph."""
    products = [weight for weight in found if weight.is_of_products]
    wide = [weight for weight in found if len(weight.summed) == 1] if how.int4.all_layers else products[:-1]
    free = [weight for weight in wide if not is_kept_from(weight.value, how.keep, Precision.INT4)]
    forms = {weight.value: _four_bits(weight, how.int4) for weight in free}
    return {value: form for value, form in forms.items() if form is not None}


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
