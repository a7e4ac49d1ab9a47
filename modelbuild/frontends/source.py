"""A source model as its framework wrote it: immutable, linked by names, weights where they lie.

Every reader gives this; nothing in it is translated. Names are unique within a graph and its outer graphs' names can be
read in a subgraph. Nodes come in an order in which values are made before they are used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from modelbuild.tensor.storage import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.tensor.dtype import ElementType, Ints

Kind: TypeAlias = Literal["tensor", "sequence", "optional", "map", "sparse_tensor"]


@dataclass(frozen=True, slots=True)
class SourceType:
    """What a value is declared to be.

    A dimension is a number, a symbol's name, or None where nothing is said; ``shape`` is None where not even the rank
    is known. ``element`` is the type within a sequence, an optional, or a map (its values).
    """

    dtype: ElementType | None = None
    shape: tuple[int | str | None, ...] | None = None
    kind: Kind = "tensor"
    element: SourceType | None = None


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """Values at indices (linear, or a row of coordinates each) of an otherwise zero tensor of shape ``dims``."""

    values: Tensor
    indices: Tensor
    dims: Ints


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute within a function's body that takes the value of the function's attribute of this name."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class SourceNode:
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


@dataclass(frozen=True, slots=True)
class SourceValue:
    """A graph's input or output; its type is None where the file does not say."""

    name: str
    type: SourceType | None


@dataclass(frozen=True, slots=True, eq=False)
class SourceGraph:
    """Nodes and constants; ``values`` are the types declared for names within."""

    name: str
    inputs: tuple[SourceValue, ...]
    outputs: tuple[SourceValue, ...]
    nodes: tuple[SourceNode, ...]
    initializers: Mapping[str, Tensor | SparseTensor] = field(default_factory=dict)
    values: Mapping[str, SourceType] = field(default_factory=dict)


Scalar: TypeAlias = int | float | str | bytes | Tensor | SparseTensor | SourceGraph | SourceType | Reference
Attribute: TypeAlias = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceFunction:
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


@dataclass(frozen=True, slots=True, eq=False)
class SourceModel:
    """A whole model. ``files`` are all that it consists of, the one that was opened first."""

    graph: SourceGraph
    opsets: Mapping[str, int]
    functions: tuple[SourceFunction, ...]
    producer: str
    ir_version: int
    framework: str
    files: tuple[Path, ...]
    metadata: Mapping[str, str]
