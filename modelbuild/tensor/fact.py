"""What is known of a tensor before anything runs: element type, shape, and content as far as it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.shape import Dim, Expr, Shape, is_static, more_precise, show_shape, static

if TYPE_CHECKING:
    from modelbuild.tensor.storage import Tensor

SMALL = 256
"""Integer tensors of up to so many elements are followed as dimensions; larger ones are data."""


class Fact(msgspec.Struct, frozen=True, eq=False):
    """``value`` is the whole content; ``dims`` that of a small integer tensor of which some elements are symbols.

    At most one of the two is there. ``dims`` is flat, in C order; the shape is then static.
    """

    dtype: ElementType
    shape: Shape | None = None
    value: Tensor | None = None
    dims: tuple[Dim, ...] | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def static_shape(self) -> Ints | None:
        """The shape as numbers, or ``None``."""
        return static(self.shape)

    @property
    def is_static(self) -> bool:
        return is_static(self.shape)

    @property
    def is_empty(self) -> bool:
        """Whether there are no elements, and of what shape is known."""
        return self.shape is not None and 0 in self.shape and is_static(self.shape)

    @property
    def elements(self) -> tuple[Dim, ...] | None:
        """The elements of a small integer tensor as dimensions (unknown ones ``UNKNOWN``), or ``None``."""
        if self.dims is not None:
            return self.dims
        if self.value is None or self.value.size > SMALL or self.dtype.is_real or self.dtype is ElementType.string:
            return None
        return tuple(self.value.numpy().reshape(-1).tolist())

    @property
    def ints(self) -> Ints | None:
        """The elements of a small integer tensor where all are numbers, or ``None``."""
        found = self.elements
        return None if found is None or any(isinstance(d, Expr) for d in found) else found  # type: ignore[return-value]

    def refines(self, other: Fact) -> bool:
        """Whether this says at least what ``other`` says."""
        if self.dtype is not other.dtype or not more_precise(self.shape, other.shape):
            return False
        return self.value is not None or other.value is None

    def __str__(self) -> str:
        return f"{self.dtype}{show_shape(self.shape)}"

    @classmethod
    def of(cls, value: Tensor) -> Fact:
        """The fact of a constant."""
        return cls(value.dtype, value.shape, value)

    @classmethod
    def of_array(cls, array: Array) -> Fact:
        from modelbuild.tensor.storage import InMemory

        return cls.of(InMemory(array))

    @classmethod
    def of_elements(cls, dtype: ElementType, shape: Ints, elements: tuple[Dim, ...]) -> Fact:
        """The fact of a small tensor whose elements are dimensions, known or not."""
        if not any(isinstance(d, Expr) for d in elements):
            return cls.of_array(np.array(elements, dtype.numpy).reshape(shape))
        return cls(dtype, shape, dims=elements)
