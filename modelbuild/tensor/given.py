"""Content that a person wrote down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType

LARGEST_FILLED: Final = 1 << 20
"""How many elements one number fills."""


def array_of(numbers: Sequence[int | float], dtype: ElementType, shape: Sequence[object]) -> Array:
    """The numbers as an array of ``shape``, in which whatever is no number is open; raises ``ValueError``.

    One number fills it, an open axis being 1; of more, one open axis is counted.
    """
    made = np.array(numbers).astype(dtype.numpy)
    if not dtype.is_real and made.tolist() != list(numbers):
        raise ValueError(f"{list(numbers)} does not fit into {dtype}")
    if made.size == 1 and math.prod(extent for extent in shape if isinstance(extent, int)) <= LARGEST_FILLED:
        return np.full([extent if isinstance(extent, int) else 1 for extent in shape], made[0])
    try:
        return made.reshape([extent if isinstance(extent, int) else -1 for extent in shape])
    except ValueError:
        raise ValueError(f"its shape is {list(shape)}, {made.size} numbers are given") from None
