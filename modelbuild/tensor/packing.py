"""The byte layout of constants in an IR's weights file.

Elements of a byte and more lie little-endian in row-major order. Below a byte they are packed without gaps: the
first element takes the lowest bits, except for ``u1``, whose first element is the most significant bit. Unused bits
at the end are zero. A string tensor is ``int32 count, int32 ends[count + 1]`` (the first is 0) and UTF-8 text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelbuild.tensor.dtype import Array, ElementType

if TYPE_CHECKING:
    from collections.abc import Iterable


def pack(elements: Array, dtype: ElementType) -> Array:
    """Lay flat, C-ordered elements of a fixed-width type out as bytes: a view from eight bits on, else a new array."""
    octets: Array = elements.view(np.uint8)
    if dtype.bits >= 8:
        return octets
    if dtype is ElementType.u1:
        return np.packbits(octets)
    lanes = 8 // dtype.bits
    packed = np.zeros(-(-octets.size // lanes) * lanes, np.uint8)
    np.bitwise_and(octets, (1 << dtype.bits) - 1, out=packed[: octets.size])
    bits = dtype.bits
    while bits < 8:  # neighbours slide together: as one number of two bytes the second one is eight bits up
        pairs = packed.view("<u2")
        packed = (pairs | pairs >> (8 - bits)).astype(np.uint8)
        bits *= 2
    return packed


def unpack(octets: Array, dtype: ElementType, count: int) -> Array:
    """Give ``count`` flat elements from their bytes: a view from eight bits on, else a new array."""
    if dtype.bits >= 8:
        return octets.view(dtype.numpy)
    if dtype is ElementType.u1:
        return np.unpackbits(octets, count=count).view(dtype.numpy)
    lanes = (octets[:, None] >> _shifts(dtype)) & np.uint8((1 << dtype.bits) - 1)
    return lanes.reshape(-1)[:count].view(dtype.numpy)


def pack_strings(texts: Iterable[str]) -> bytes:
    """Lay strings out; text that was not UTF-8 keeps its bytes (it was read with ``surrogateescape``)."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    ends = np.cumsum([len(encoded), 0, *map(len, encoded)], dtype=np.int64)
    ends[1:] -= len(encoded)
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"a string tensor of {ends[-1]} bytes does not fit into the IR's 32-bit offsets")
    return ends.astype("<i4").tobytes() + b"".join(encoded)


def _shifts(dtype: ElementType) -> Array:
    return np.arange(0, 8, dtype.bits, dtype=np.uint8)
