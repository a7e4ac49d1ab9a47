"""What becomes known of a node's outputs when its inputs are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import SMALL, Fact
from modelbuild.tensor.shape import product

EAGER_BYTES = 1 << 12
"""Results up to this size are computed as soon as a node is made; larger ones wait for the fold phase."""


def infer(op: Op, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The facts of the outputs of ``op``, with their content where small and known."""
    if op.index_inputs:
        _check_indices(op, inputs)
    made = op.infer(*inputs)
    facts = made if isinstance(made, tuple) else (made,)
    if not inputs:
        return facts
    for fact in inputs:
        if fact.value is None and fact.dims is None:
            return facts
    return _know(op, inputs, facts)


def _check_indices(op: Op, inputs: tuple[Fact, ...]) -> None:
    for i in op.index_inputs:
        if i < len(inputs) and not inputs[i].dtype.is_integer:
            raise ValueError(f"input {i} of {type(op).__name__} says where: integers expected, {inputs[i]} given")


def _know(op: Op, inputs: tuple[Fact, ...], facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    if not op.pure or op.is_kept or not op.can_evaluate():
        return facts
    if any(not f.is_static for f in facts) or any(f.value is not None or f.dims is not None for f in facts):
        return facts
    if any(f.dims is not None for f in inputs):
        return _follow_dims(op, inputs, facts) if op.follows_dims else facts
    if all(_bytes(f) <= EAGER_BYTES for f in (*inputs, *facts)) and foldable(op, inputs, facts):
        return fold(op, inputs, facts)
    return facts


def foldable(op: Op, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> bool:
    """Whether the content of the outputs can be computed here, the same on every machine."""
    if op.is_kept or not (op.pure and op.can_evaluate() and all(f.value is not None for f in inputs)):
        return False
    return op.exact or not any(f.dtype.is_real for f in (*inputs, *outputs))


def fold(op: Op, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The outputs with their content. Overflow and division by zero give what the numbers' type gives."""
    from modelbuild.tensor.storage import InMemory

    results = _evaluate(op, [f.value.numpy() for f in inputs if f.value is not None])
    return tuple(
        Fact.of(InMemory(quiet(np.asarray(a).astype(f.dtype.numpy, copy=False))))
        for a, f in zip(results, outputs, strict=True)
    )


def _evaluate(op: Op, arrays: Sequence[Array | None]) -> tuple[Array, ...]:
    """All outputs; raises ``ValueError`` for an index that leads nowhere."""
    try:
        with np.errstate(all="ignore"):
            made = op.evaluate(*arrays)
    except IndexError as why:
        raise ValueError(f"{type(op).__name__}: {why}") from why
    return made if isinstance(made, tuple) else (made,)


def quiet(array: Array) -> Array:
    """The same numbers with every NaN in its one canonical form: processors differ in the bits they leave in a NaN."""
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        unordered = array != array  # noqa: PLR0124 - only NaN differs from itself
        if unordered.any():
            array = array.copy()
            array[unordered] = np.nan
    return array


def _follow_dims(op: Op, inputs: tuple[Fact, ...], facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    if any(f.dtype.is_real or f.dtype is ElementType.string for f in facts):
        return facts
    if any(int(product(f.shape or ())) > SMALL for f in facts):  # type: ignore[arg-type]
        return facts
    arrays = [_as_numbers(f) if i in op.index_inputs else _as_dims(f) for i, f in enumerate(inputs)]
    if any(a is None for a in arrays):
        return facts
    results = _evaluate(op, arrays)
    return tuple(
        Fact.of_elements(f.dtype, f.static_shape or (), tuple(np.asarray(a, object).reshape(-1).tolist()))
        for a, f in zip(results, facts, strict=True)
    )


def _as_dims(fact: Fact) -> Array | None:
    elements = fact.elements
    if elements is None:
        return None
    made: Array = np.empty(len(elements), object)
    made[:] = elements
    return made.reshape(fact.static_shape or ())


def _as_numbers(fact: Fact) -> Array | None:
    found = fact.ints
    return None if found is None else np.array(found, np.int64).reshape(fact.static_shape or ())


def _bytes(fact: Fact) -> int:
    count: Any = product(fact.shape or ())
    return fact.dtype.nbytes(count) if isinstance(count, int) else EAGER_BYTES + 1
