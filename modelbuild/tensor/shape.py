"""Dimensions that need not be numbers, and arithmetic on them.

A dimension is an ``int`` or an :class:`Expr`: a sum of products of *atoms* (symbols, floor quotients, extremes).
Sums are kept in one canonical form, so equal dimensions compare equal: ``S * 64 // 64 == S``. ``UNKNOWN`` is the
dimension of which nothing is known; arithmetic with it gives it again, and it is never *the same* as another dimension
(see :func:`same`) although it equals itself as a piece of data.

Dimensions are extents: symbols are at least their ``lower`` bound, which is never negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Union

from modelbuild.tensor.dtype import Ints

Bounds = tuple[int | None, int | None]


class Symbol:
    """A named extent within bounds. Two symbols are one when their names are."""

    __slots__ = ("lower", "name", "upper")

    def __init__(self, name: str, lower: int = 0, upper: int | None = None) -> None:
        if lower < 0 or (upper is not None and upper < lower):
            raise ValueError(f"{name} cannot lie in {lower}..{'' if upper is None else upper}")
        self.name, self.lower, self.upper = name, lower, upper

    @property
    def bounds(self) -> Bounds:
        return self.lower, self.upper

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        if self.upper is None and not self.lower:
            return self.name
        return f"{self.name}<{self.lower}..{'' if self.upper is None else self.upper}>"


class Quotient:
    """``numerator // denominator``, rounded down."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Dim, denominator: Dim) -> None:
        self.numerator, self.denominator = numerator, denominator

    @property
    def bounds(self) -> Bounds:
        (low, high), (least, most) = bounds(self.numerator), bounds(self.denominator)
        if least is None or least < 1 or low is None or low < 0:
            return None, None
        return (low // most if most else 0), (None if high is None else high // least)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quotient) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"div({self.numerator},{self.denominator})"


class Extreme:
    """The larger (``max``) or smaller (``min``) of two dimensions."""

    __slots__ = ("left", "right", "which")

    def __init__(self, which: str, left: Dim, right: Dim) -> None:
        self.which = which
        self.left, self.right = sorted((left, right), key=str)

    @property
    def bounds(self) -> Bounds:
        (a, b), (c, d) = bounds(self.left), bounds(self.right)
        if self.which == "max":
            low = max((x for x in (a, c) if x is not None), default=None)
            return low, None if b is None or d is None else max(b, d)
        high = min((x for x in (b, d) if x is not None), default=None)
        return None if a is None or c is None else min(a, c), high

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extreme) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.which}({self.left},{self.right})"


class Nothing:
    """The atom of :data:`UNKNOWN`."""

    __slots__ = ()
    bounds: Bounds = (None, None)

    def __str__(self) -> str:
        return "?"


Atom = Symbol | Quotient | Extreme | Nothing
Product = tuple[Atom, ...]  # sorted by spelling; the empty product is 1


class Expr:
    """A dimension that is not a number: a sum of ``coefficient * product``, in canonical order."""

    def __init__(self, terms: tuple[tuple[Product, int], ...]) -> None:
        self.terms = terms

    @classmethod
    def symbol(cls, name: str, lower: int = 0, upper: int | None = None) -> Expr:
        return cls((((Symbol(name, lower, upper),), 1),))

    @property
    def only_symbol(self) -> Symbol | None:
        """The symbol that this is, if it is just one."""
        match self.terms:
            case (((Symbol() as symbol,), 1),):
                return symbol
        return None

    @cached_property
    def _spelling(self) -> str:
        written = [_spell_term(product, factor) for product, factor in self.terms]
        return written[0] + "".join(t if t.startswith("-") else f"+{t}" for t in written[1:])

    def __str__(self) -> str:
        return self._spelling

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Expr) and self._spelling == other._spelling)

    def __hash__(self) -> int:
        return hash(self._spelling)

    def __add__(self, other: Dim) -> Dim:
        if self is UNKNOWN or other is UNKNOWN:
            return UNKNOWN
        return _collect((*self.terms, *_terms(other)))

    def __radd__(self, other: int) -> Dim:
        return self + other

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        if self is UNKNOWN or other is UNKNOWN:
            return UNKNOWN
        return _collect((_join(p, q), a * b) for p, a in self.terms for q, b in _terms(other))

    def __rmul__(self, other: int) -> Dim:
        return self * other

    def __floordiv__(self, other: Dim) -> Dim:
        return _divide(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return _divide(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return self - self // other * other

    def __rmod__(self, other: int) -> Dim:
        return other - other // self * self


Dim = Union[int, Expr]  # noqa: UP007 - Expr is quoted in annotations above, the alias must exist at run time
Shape = tuple[Dim, ...]
UNKNOWN = Expr((((Nothing(),), 1),))


def _terms(dim: Dim) -> tuple[tuple[Product, int], ...]:
    return dim.terms if isinstance(dim, Expr) else (((), dim),)


def _join(left: Product, right: Product) -> Product:
    return tuple(sorted((*left, *right), key=str)) if left and right else left or right


def _spell_term(product: Product, factor: int) -> str:
    named = "*".join(str(atom) for atom in product)
    if not named:
        return str(factor)
    return named if factor == 1 else f"-{named}" if factor == -1 else f"{factor}*{named}"


def _collect(terms: Iterable[tuple[Product, int]]) -> Dim:
    """Add up terms of the same product; the constant stands last, the others by their spelling."""
    total: dict[Product, int] = {}
    for product, factor in terms:
        total[product] = total.get(product, 0) + int(factor)
    kept = {product: factor for product, factor in total.items() if factor}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Expr(tuple(sorted(kept.items(), key=lambda term: (not term[0], _spell_term(term[0], 1)))))


def _divide(numerator: Dim, denominator: Dim) -> Dim:
    if numerator is UNKNOWN or denominator is UNKNOWN or denominator == 0:
        return UNKNOWN
    exact = divide_exactly(numerator, denominator)
    return Expr((((Quotient(numerator, denominator),), 1),)) if exact is None else exact


def divide_exactly(numerator: Dim, denominator: Dim) -> Dim | None:
    """The quotient where the division is known to leave no rest, for a denominator of one term; else ``None``."""
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator if denominator and numerator % denominator == 0 else None
    if numerator is UNKNOWN or denominator is UNKNOWN:
        return None
    if numerator == denominator:
        return 1
    if len(_terms(denominator)) != 1:
        return None
    ((divisor, scale),) = _terms(denominator)
    if scale == 0:
        return None
    parts: list[tuple[Product, int]] = []
    for product, factor in _terms(numerator):
        rest = list(product)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if factor % scale:
            return None
        parts.append((tuple(rest), factor // scale))
    return _collect(parts)


def bounds(dim: Dim) -> Bounds:
    """The least and the greatest value of a dimension, ``None`` where there is no bound."""
    if isinstance(dim, int):
        return dim, dim
    low: int | None = 0
    high: int | None = 0
    for product, factor in dim.terms:
        a, b = _bounds_of_product(product)
        if factor < 0:
            a, b = b, a
        low = None if low is None or a is None else low + a * factor
        high = None if high is None or b is None else high + b * factor
    return low, high


def _bounds_of_product(product: Product) -> Bounds:
    low, high = 1, 1
    for atom in product:
        a, b = atom.bounds
        if a is None or a < 0:
            return None, None
        low *= a
        high = None if b is None or high is None else high * b  # type: ignore[assignment]
    return low, high


def larger(a: Dim, b: Dim) -> Dim:
    """``max(a, b)``"""
    return _extreme("max", a, b)


def smaller(a: Dim, b: Dim) -> Dim:
    """``min(a, b)``"""
    return _extreme("min", a, b)


def _extreme(which: str, a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b) if which == "max" else min(a, b)
    if a is UNKNOWN or b is UNKNOWN:
        return UNKNOWN
    low, high = bounds(a - b)
    if low is not None and low >= 0:
        return a if which == "max" else b
    if high is not None and high <= 0:
        return b if which == "max" else a
    return Expr((((Extreme(which, a, b),), 1),))


def same(a: Dim, b: Dim) -> bool:
    """Whether two dimensions are known to be the same extent."""
    return a is not UNKNOWN and a == b


def decide_equal(a: Dim, b: Dim) -> bool | None:
    """Whether ``a == b``, or ``None`` where that depends on the run."""
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if a is UNKNOWN or b is UNKNOWN:
        return None
    low, high = bounds(a - b)
    if low == 0 and high == 0:
        return True
    if (low is not None and low > 0) or (high is not None and high < 0):
        return False
    return None


def decide_less(a: Dim, b: Dim) -> bool | None:
    """Whether ``a < b``, or ``None`` where that depends on the run."""
    if a is UNKNOWN or b is UNKNOWN:
        return None
    low, high = bounds(a - b)
    if high is not None and high < 0:
        return True
    return False if low is not None and low >= 0 else None


def is_static(shape: Shape | None) -> bool:
    return shape is not None and all(isinstance(d, int) for d in shape)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dimensions: the number of elements of a shape. Zero wins over ``UNKNOWN``."""
    dims = tuple(dims)
    if 0 in dims:
        return 0
    total: Dim = math.prod(d for d in dims if isinstance(d, int))
    for dim in dims:
        if isinstance(dim, Expr):
            total = dim * total
    return total


def static(shape: Shape | None) -> Ints | None:
    """The shape as numbers, if it is known."""
    if shape is None or not all(isinstance(d, int) for d in shape):
        return None
    return shape  # type: ignore[return-value]


def show_shape(shape: Shape | None) -> str:
    """``[1,3,S,W*2]``; an unknown rank is ``[...]``."""
    return "[...]" if shape is None else f"[{','.join(map(str, shape))}]"


def broadcast(a: Shape | None, b: Shape | None) -> Shape | None:
    """Numpy broadcasting; raises ``ValueError`` where two known extents cannot meet."""
    if a is None or b is None:
        return None
    return a if a == b else _broadcast(a, b)


@lru_cache(4096)  # the same few pairs come again and again
def _broadcast(a: Shape, b: Shape) -> Shape:
    rank = max(len(a), len(b))
    left, right = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    try:
        return tuple(map(_meet_broadcast, left, right))
    except ValueError:
        raise ValueError(f"cannot broadcast {show_shape(a)} with {show_shape(b)}") from None


def _meet_broadcast(p: Dim, q: Dim) -> Dim:
    if isinstance(p, int) and p == 1:
        return q
    if (isinstance(q, int) and q == 1) or same(p, q):
        return p
    if isinstance(p, int):
        if isinstance(q, int):
            raise ValueError
        return p
    if isinstance(q, int):
        return q
    return UNKNOWN


def merge(a: Shape | None, b: Shape | None) -> Shape | None:
    """One shape from two statements about it: numbers win, then whatever is known; ``ValueError`` if they conflict."""
    if a is None or b is None:
        return a if b is None else b
    if len(a) != len(b):
        raise ValueError(f"{show_shape(a)} and {show_shape(b)} differ in rank")
    return tuple(merge_dim(p, q) for p, q in zip(a, b, strict=True))


def merge_dim(p: Dim, q: Dim) -> Dim:
    """One dimension from two statements about it."""
    if decide_equal(p, q) is False:
        raise ValueError(f"{p} and {q} differ")
    if isinstance(p, int):
        return p
    if isinstance(q, int) or p is UNKNOWN:
        return q
    return p


def more_precise(new: Shape | None, old: Shape | None) -> bool:
    """Whether ``new`` says at least what ``old`` says: the same, or a number or symbol where less was known."""
    if old is None or new == old:
        return True
    if new is None or len(new) != len(old):
        return False
    return all(
        n == o or (isinstance(o, Expr) and (o is UNKNOWN or n is not UNKNOWN)) for n, o in zip(new, old, strict=True)
    )


def join(a: Shape | None, b: Shape | None) -> Shape | None:
    """What two shapes have in common: the fact of a value that is either."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(p if p == q else UNKNOWN for p, q in zip(a, b, strict=True))
