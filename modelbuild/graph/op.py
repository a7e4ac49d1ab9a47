"""What an operation is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from modelbuild.registry import Registry
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact

if TYPE_CHECKING:
    from modelbuild.graph.graph import Graph

Inferred = Fact | tuple[Fact, ...]


class Op(msgspec.Struct, frozen=True):
    """One operation of the OpenVINO opset: attributes, typing rule, numpy meaning.

    The fields are the attributes of the IR, by their names (a nested struct gives its own fields, a trailing underscore
    keeps a Python keyword legal). ``infer`` gives the facts of the outputs from those of the inputs and raises
    ``ValueError`` for inputs that the operation cannot take. ``evaluate`` gives the outputs as arrays; an operation
    without one is never folded.
    """

    version: ClassVar[str] = "opset1"
    """The opset that introduced this form of the operation: ``version=`` in the IR."""

    type_name: ClassVar[str] = ""
    """``type=`` in the IR; the name of the class unless it says otherwise."""

    ir_names: ClassVar[Mapping[str, str]] = {}
    """The IR's names of fields that Python cannot spell: ``{"exclude_pad": "exclude-pad"}``."""

    pure: ClassVar[bool] = True
    """False for random and stateful operations: neither folded nor merged."""

    commutes: ClassVar[bool] = False
    """Whether the two inputs may change places."""

    exact: ClassVar[bool] = False
    """Whether ``evaluate`` gives the same bits on every processor for floating-point numbers too.

    Integers always fold; real numbers only through operations that are correctly rounded or only move things.
    """

    follows_dims: ClassVar[bool] = False
    """Whether ``evaluate`` also works on object arrays of dimensions: the symbolic content of small integer tensors."""

    index_inputs: ClassVar[tuple[int, ...]] = ()
    """Inputs that say where, not what: dimensions are followed only where these are numbers, and they come as such."""

    list_inputs: ClassVar[tuple[int, ...]] = ()
    """Further inputs that are lists of sizes or axes, for which any type of integer will do."""

    precise_inputs: ClassVar[tuple[int, ...]] = ()
    """Inputs whose constants are never compressed: ranges, scales, sizes, thresholds."""

    def infer(self, *inputs: Any) -> Inferred:
        raise NotImplementedError

    def evaluate(self, *inputs: Any) -> Array | tuple[Array, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no reference implementation")

    @property
    def is_kept(self) -> bool:
        """Whether this is never computed here although it could be: it is there for the runtime."""
        return False

    def bodies(self) -> tuple[Graph, ...]:
        """The graphs that this operation runs."""
        return ()

    def with_bodies(self, *bodies: Graph) -> Op:
        """The same operation on other bodies, in the order of :meth:`bodies`."""
        raise TypeError(f"{type(self).__name__} has no bodies, {len(bodies)} given")

    @classmethod
    def can_evaluate(cls) -> bool:
        return cls.evaluate is not Op.evaluate

    @classmethod
    def ir_type(cls) -> str:
        return cls.type_name or cls.__name__

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        REGISTRY.part(cls.__module__)[cls.__name__] = cls


REGISTRY: Registry[str, type[Op]] = Registry()
"""Every operation there is, by class name: the vocabulary of the text form."""
