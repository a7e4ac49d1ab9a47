"""Whether what is said of the outputs of an operation, from more or less knowledge of its inputs, is true of them."""

from __future__ import annotations

from operator import floordiv
from typing import Any

from moves import Case

from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr


def outputs(case: Case) -> tuple[Array, ...]:
    made = case.op.evaluate(*case.inputs)
    return made if isinstance(made, tuple) else (made,)


def inferred(case: Case, facts: list[Fact]) -> tuple[Fact, ...]:
    made = case.op.infer(*facts)
    return made if isinstance(made, tuple) else (made,)


def fits(fact: Fact, array: Array, symbols: dict[str, int]) -> bool:
    """Whether all that the fact says is true of the array."""
    if fact.dtype is not ElementType.of(array.dtype):
        return False
    return fact.shape is None or (
        len(fact.shape) == array.ndim
        and all(value(d, symbols) in {n, None} for d, n in zip(fact.shape, array.shape, strict=True))
    )


def value(dim: Dim, symbols: dict[str, int]) -> Any:
    """The extent that a dimension stands for, ``None`` where nothing is known of it."""
    if isinstance(dim, int) or dim is UNKNOWN:
        return None if dim is UNKNOWN else dim
    return eval(str(dim), {"max": max, "min": min, "div": floordiv}, symbols)


def symbolic(array: Array, place: int) -> Fact:
    shape = tuple(Expr.symbol(f"S{place}_{i}") for i in range(array.ndim))
    return Fact(ElementType.of(array.dtype), shape)


def holds(case: Case, facts: list[Fact], symbols: dict[str, int] | None = None, *, ranked: bool = False) -> bool:
    """Whether what ``case`` makes of ``facts`` fits its outputs, and says of each how many axes it has."""
    said = zip(inferred(case, facts), outputs(case), strict=True)
    return all(fits(fact, array, symbols or {}) and (fact.shape is not None or not ranked) for fact, array in said)


def holds_of_static_shapes(case: Case) -> bool:
    known = [Fact(ElementType.of(a.dtype), a.shape) for a in case.inputs[: case.moves]]
    return holds(case, [*known, *places(case)], ranked=True)


def holds_of_symbolic_shapes(case: Case) -> bool:
    known = [symbolic(a, i) for i, a in enumerate(case.inputs[: case.moves])]
    symbols = {f"S{i}_{axis}": n for i, a in enumerate(case.inputs) for axis, n in enumerate(a.shape)}
    return holds(case, [*known, *places(case)], symbols)


def holds_of_unknown_ranks(case: Case) -> bool:
    known = [Fact(ElementType.of(a.dtype)) for a in case.inputs[: case.moves]]
    return holds(case, [*known, *places(case)])


def places(case: Case) -> list[Fact]:
    """The inputs that say where, how far, how often, with their content."""
    return [Fact.of_array(a) for a in case.inputs[case.moves :]]
