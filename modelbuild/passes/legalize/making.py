"""What rules make their nodes with."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.graph import Value
from modelbuild.rewrite import Rewriter
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import merge


def like(g: Rewriter, value: Value, number: float, name: str = "const") -> Value:
    """``number`` as a scalar of the element type of ``value``."""
    return g.constant(np.array(number, value.fact.dtype.numpy), name)


def extent(g: Rewriter, value: Value, axis: int) -> Value:
    """The extent of an axis, as a scalar."""
    return g(ops.Gather(), g(ops.ShapeOf(), value), g.constant(np.array(axis, np.int64)), g.ints([0]))


def known_as(made: Value, old: Value) -> Value:
    """``made``, of which is known what was known of ``old``: symbols get lost on the way around."""
    if made.fact.value is None:
        made.fact = Fact(made.fact.dtype, merge(old.fact.shape, made.fact.shape), dims=made.fact.dims)
    return made
