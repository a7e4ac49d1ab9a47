"""Which constants are weights: what products multiply by and what embeddings look up in, and along which axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from modelbuild import ops
from modelbuild.graph import Graph, Node, Op, Value
from modelbuild.graph.structure import Const
from modelbuild.rewrite import Skip
from modelbuild.tensor.dtype import Ints
from modelbuild.tensor.storage import Tensor

FEWEST: Final = 1 << 10
"""Smaller weights stay as they are: there is nothing to gain."""

FEWEST_A_SCALE: Final = 16
"""Where fewer numbers share a scale it takes a part of what is saved, and what is lost by rounding weighs most: the
filters of a depthwise convolution are such."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The constant ``value``; its numbers are multiplied and summed along the axes ``summed``, by all its users."""

    value: Value
    users: tuple[Node[Op], ...]
    summed: Ints

    @property
    def tensor(self) -> Tensor:
        op = self.value.producer.op
        assert isinstance(op, Const)
        return op.value

    @property
    def name(self) -> str:
        return self.value.producer.name

    @property
    def is_of_products(self) -> bool:
        """Whether only matrix products use it."""
        return all(isinstance(user.op, ops.MatMul) for user in self.users)


def weights(graph: Graph) -> Iterator[Weight | tuple[Value, Skip]]:
    """The weights of ``graph``, not those of bodies, in its order; real constants that are none with the reason."""
    for node in graph.nodes():
        if not isinstance(node.op, Const) or not node.op.value.dtype.is_real:
            continue
        found = [_summed(user, place) for user, place in node.output.uses]
        refused = next((why for why in found if isinstance(why, Skip)), None)
        axes = [summed for summed in found if not isinstance(summed, Skip)]
        if refused is None and not axes:
            refused = Skip("it is an output")
        if refused is None and len(set(axes)) > 1:
            refused = Skip("its users sum along other axes of it")
        if refused is None:
            refused = _too_small(node.op.value, axes[0])
        yield (node.output, refused) if refused else Weight(node.output, tuple(node.users), axes[0])


def _too_small(tensor: Tensor, summed: Ints) -> Skip | None:
    if tensor.size < FEWEST:
        return Skip(f"{tensor.size} numbers are too few")
    shared = 1
    for axis in summed:
        shared *= tensor.shape[axis]
    return Skip(f"only {shared} numbers would share a scale") if shared < FEWEST_A_SCALE else None


def _summed(user: Node[Op], place: int) -> Ints | Skip:
    """The axes of input ``place`` along which ``user`` sums."""
    rank = user.inputs[place].fact.rank or 0
    match user.op, place:
        case ops.MatMul(transpose_b=transposed), 1:
            # The runtime unpacks other weights at every run, and gains nothing.
            return ((1,) if transposed else (0,)) if rank == 2 else Skip(f"weights of {rank} axes are no matrix")
        case ops.Gather(), 0:
            first = rank == 2 and user.inputs[2].fact.ints in {(0,), (-2,)}
            return (1,) if first else Skip("it is no table of rows")
        case ops.Convolution(), 1:
            return tuple(range(1, rank))
        case ops.GroupConvolution(), 1:
            return tuple(range(2, rank))
        case ops.ConvolutionBackpropData(), 1:
            return (0, *range(2, rank))
        case ops.GroupConvolutionBackpropData(), 1:
            return (1, *range(3, rank))
    return Skip(f"{type(user.op).__name__} takes no compressed weights")
