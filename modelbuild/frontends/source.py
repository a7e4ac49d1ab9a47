"""A source model as its framework wrote it: immutable, linked by names, weights where they lie.

Every reader gives this; nothing in it is translated. Names are unique within a graph and its outer graphs' names can be
read in a subgraph. Nodes come in an order in which values are made before they are used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import numpy as np

from modelbuild.tensor.storage import InMemory, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.tensor.dtype import ElementType, Ints

LARGEST_SPARSE: Final = 1 << 24
"""Sparse tensors of up to so many elements are made dense; a file of a few bytes must not ask for gigabytes."""

Kind: TypeAlias = Literal["tensor", "sequence", "optional", "map", "sparse_tensor"]


class SourceType(msgspec.Struct, frozen=True):
    """What a value is declared to be.

    A dimension is a number, a symbol's name, or None where nothing is said; ``shape`` is None where not even the rank
    is known. ``element`` is the type within a sequence, an optional, or a map (its values).
    """

    dtype: ElementType | None = None
    shape: tuple[int | str | None, ...] | None = None
    kind: Kind = "tensor"
    element: SourceType | None = None


class SparseTensor(msgspec.Struct, frozen=True):
    """Values at indices (linear, or a row of coordinates each) of an otherwise zero tensor of shape ``dims``."""

    values: Tensor
    indices: Tensor
    dims: Ints

    def dense(self) -> InMemory:
        """Give the tensor with its zeros; ``ValueError`` for indices outside of it, or a size not worth filling in."""
        size = math.prod(self.dims)
        if size > LARGEST_SPARSE:
            raise ValueError(f"it has {size} elements, at most {LARGEST_SPARSE} are filled in")
        indices, values = self.indices.numpy(), self.values.numpy()
        if not self.indices.dtype.is_integer:
            raise ValueError(f"its indices are {self.indices.dtype}")
        if indices.ndim == 2:
            indices = np.ravel_multi_index(tuple(indices.T), self.dims)
        if indices.size and not 0 <= indices.min() <= indices.max() < size:
            raise ValueError(f"indices from {indices.min()} to {indices.max()} for {size} elements")
        made = np.zeros(size, values.dtype)
        made[indices] = values
        return InMemory(made.reshape(self.dims))


class Reference(msgspec.Struct, frozen=True):
    """An attribute within a function's body that takes the value of the function's attribute of this name."""

    name: str


class SourceNode(msgspec.Struct, frozen=True, eq=False):
    """An operator's use. ``domain`` is empty for the framework's own operators; an absent input is an empty name."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    overload: str = ""

    def __str__(self) -> str:
        name = self.name or next(filter(None, self.outputs), "")
        return f"{self.domain}.{self.op} {name!r}" if self.domain else f"{self.op} {name!r}"


class SourceValue(msgspec.Struct, frozen=True):
    """A graph's input or output; its type is None where the file does not say."""

    name: str
    type: SourceType | None


class SourceGraph(msgspec.Struct, frozen=True, eq=False):
    """Nodes and constants; ``values`` are the types declared for names within."""

    name: str
    inputs: tuple[SourceValue, ...]
    outputs: tuple[SourceValue, ...]
    nodes: tuple[SourceNode, ...]
    initializers: Mapping[str, Tensor | SparseTensor] = msgspec.field(default_factory=dict)
    values: Mapping[str, SourceType] = msgspec.field(default_factory=dict)


Scalar: TypeAlias = int | float | str | bytes | Tensor | SparseTensor | SourceGraph | SourceType | Reference
Attribute: TypeAlias = Scalar | tuple[Scalar, ...]


class SourceFunction(msgspec.Struct, frozen=True, eq=False):
    """An operator that the model itself defines. ``attributes`` have no default; ``defaults`` are those that have."""

    name: str
    domain: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[str, ...]
    defaults: Mapping[str, Attribute]
    nodes: tuple[SourceNode, ...]
    opsets: Mapping[str, int]


class SourceModel(msgspec.Struct, frozen=True, eq=False):
    """A whole model. ``files`` are all that it consists of, the one that was opened first."""

    graph: SourceGraph
    opsets: Mapping[str, int]
    functions: tuple[SourceFunction, ...]
    producer: str
    ir_version: int
    framework: str
    files: tuple[Path, ...]
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()
    """What is odd about it, for whoever has it converted."""
