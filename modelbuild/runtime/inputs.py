"""Inputs to try a model on: noise, the same on every machine.

Only raw bits are taken from numpy's generator: those are promised never to change, its distributions are not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from modelbuild.tensor.cast import Caster
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, bounds

INDICES: Final = 2
"""Numbers of wide integer types stay below this: they are mostly indices, and small tables exist (token types)."""

WORDS: Final = ("", "a", "model", "naïve", "東京")


def make(facts: Mapping[str, Fact], *, seed: int, extents: Mapping[str, int] | None = None) -> dict[str, Array]:
    """An array for each input, by its name: what one holds depends on its own name, type and shape and the seed alone.

    Real numbers lie in [-1, 1), bytes in their whole range. An input called a mask is all ones, because zeros would
    hide the others. ``extents`` gives dimensions that are no numbers theirs, by symbol; others are 1, or as near to it
    as their bounds let them. Raises ``ValueError`` where the rank is not known.
    """
    return {name: _array(name, fact, seed, extents or {}) for name, fact in facts.items()}


def extent(dim: Dim, extents: Mapping[str, int]) -> int:
    """The number of elements that a dimension is tried with."""
    if isinstance(dim, int):
        return dim
    symbol = dim.only_symbol
    low, high = bounds(dim)
    wanted = extents.get(symbol.name, 1) if symbol else 1
    return max(wanted if high is None else min(wanted, high), low or 0)


def _array(name: str, fact: Fact, seed: int, extents: Mapping[str, int]) -> Array:
    if fact.shape is None:
        raise ValueError(f"input {name!r}: the rank is not known; give it a shape")
    shape = tuple(extent(dim, extents) for dim in fact.shape)
    if "mask" in name.lower() and fact.dtype is not ElementType.string:
        return _cast(np.ones(shape, np.float32), fact.dtype)
    return _noise(_bits(name, seed, math.prod(shape)), fact.dtype, shape)


def _bits(name: str, seed: int, count: int) -> Array:
    """``count`` random 32-bit numbers."""
    key = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16])
    raw = np.random.PCG64(key).random_raw(count)
    return np.asarray(raw >> np.uint64(32), np.uint32)


def _noise(bits: Array, dtype: ElementType, shape: Ints) -> Array:
    if dtype is ElementType.string:
        made = np.empty(bits.size, object)
        made[:] = [WORDS[b % len(WORDS)] for b in bits.tolist()]
        return made.reshape(shape)
    if dtype.is_real:
        return _cast(((bits >> 8) * np.float32(2**-23) - np.float32(1)).reshape(shape), dtype)
    if dtype is ElementType.boolean:
        return np.asarray(bits >> 31 != 0).reshape(shape)
    if dtype.bits > 8:
        return (bits % INDICES).astype(dtype.numpy).reshape(shape)
    low = -(1 << dtype.bits - 1) if dtype.is_signed_integer else 0
    return ((bits >> 32 - dtype.bits).astype(np.int64) + low).astype(dtype.numpy).reshape(shape)


def _cast(numbers: Array, dtype: ElementType) -> Array:
    made = np.empty(numbers.size, dtype.numpy)
    Caster(ElementType.f32, dtype, saturate=True).into(made, numbers.reshape(-1))
    return made.reshape(numbers.shape)
