"""Element types, by OpenVINO's names."""

from __future__ import annotations

from enum import StrEnum
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]


class ElementType(StrEnum):
    """The element types of OpenVINO IR; the value is the spelling in ``element_type=`` attributes."""

    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"
    f64 = "f64"
    i8 = "i8"
    i16 = "i16"
    i32 = "i32"
    i64 = "i64"
    u8 = "u8"
    u16 = "u16"
    u32 = "u32"
    u64 = "u64"
    boolean = "boolean"
    string = "string"
    u1 = "u1"
    u2 = "u2"
    u3 = "u3"
    u4 = "u4"
    u6 = "u6"
    i4 = "i4"
    nf4 = "nf4"
    f8e4m3 = "f8e4m3"
    f8e5m2 = "f8e5m2"
    f8e8m0 = "f8e8m0"
    f4e2m1 = "f4e2m1"
    dynamic = "dynamic"

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The little-endian numpy type of one element; raises ``TypeError`` where numpy and ml_dtypes have none.

        Types below a byte are one element a byte in numpy and packed in the IR.
        """
        return _numpy(self)

    @cached_property
    def bits(self) -> int:
        """Bits of one element in an IR's weights; strings and ``dynamic`` have no fixed width (0)."""
        return _BITS[self]

    @cached_property
    def is_real(self) -> bool:
        """Whether this is a floating-point type."""
        return self in _REAL

    @cached_property
    def is_signed_integer(self) -> bool:
        return self in _SIGNED

    @cached_property
    def is_unsigned_integer(self) -> bool:
        return self in _UNSIGNED

    @cached_property
    def is_integer(self) -> bool:
        return self in _SIGNED or self in _UNSIGNED

    @cached_property
    def port(self) -> str:
        """The spelling in ``precision=`` attributes of ports."""
        return _PORT.get(self, self.value.upper())

    def nbytes(self, elements: int) -> int:
        """Bytes that ``elements`` elements take in an IR's weights; below a byte they are packed."""
        return -(-elements * self.bits // 8)

    @classmethod
    def of(cls, dtype: np.dtype[Any] | type[Any]) -> ElementType:
        """The element type of a numpy type; raises ``TypeError`` where the IR has none."""
        return _of(dtype if isinstance(dtype, np.dtype) else np.dtype(dtype))


_E = ElementType
_BITS = {
    _E.f64: 64, _E.i64: 64, _E.u64: 64, _E.f32: 32, _E.i32: 32, _E.u32: 32,
    _E.f16: 16, _E.bf16: 16, _E.i16: 16, _E.u16: 16,
    _E.i8: 8, _E.u8: 8, _E.boolean: 8, _E.f8e4m3: 8, _E.f8e5m2: 8, _E.f8e8m0: 8,
    _E.u6: 6, _E.u4: 4, _E.i4: 4, _E.nf4: 4, _E.f4e2m1: 4, _E.u3: 3, _E.u2: 2, _E.u1: 1,
    _E.string: 0, _E.dynamic: 0,
}  # fmt: skip
_REAL = frozenset({_E.f64, _E.f32, _E.f16, _E.bf16, _E.f8e4m3, _E.f8e5m2, _E.f8e8m0, _E.f4e2m1, _E.nf4})
_SIGNED = frozenset({_E.i64, _E.i32, _E.i16, _E.i8, _E.i4})
_UNSIGNED = frozenset({_E.u64, _E.u32, _E.u16, _E.u8, _E.u6, _E.u4, _E.u3, _E.u2, _E.u1})
_PORT = {
    _E.f32: "FP32", _E.f16: "FP16", _E.bf16: "BF16", _E.f64: "FP64",
    _E.boolean: "BOOL", _E.u1: "BIN", _E.dynamic: "UNSPECIFIED",
}  # fmt: skip
_NATIVE = {
    _E.f64: "<f8", _E.f32: "<f4", _E.f16: "<f2", _E.i64: "<i8", _E.i32: "<i4", _E.i16: "<i2", _E.i8: "i1",
    _E.u64: "<u8", _E.u32: "<u4", _E.u16: "<u2", _E.u8: "u1", _E.boolean: "?", _E.string: "O",
}  # fmt: skip
_ML = {
    _E.bf16: "bfloat16", _E.f8e4m3: "float8_e4m3fn", _E.f8e5m2: "float8_e5m2", _E.f8e8m0: "float8_e8m0fnu",
    _E.f4e2m1: "float4_e2m1fn", _E.i4: "int4", _E.u4: "uint4", _E.u2: "uint2", _E.u1: "uint1",
}  # fmt: skip


@cache
def _numpy(element: ElementType) -> np.dtype[Any]:
    if native := _NATIVE.get(element):
        return np.dtype(native)
    if name := _ML.get(element):
        import ml_dtypes

        found: type[Any] | None = getattr(ml_dtypes, name, None)
        if found is not None:
            return np.dtype(found)
    raise TypeError(f"numpy has no type for {element}")


@cache
def _of(dtype: np.dtype[Any]) -> ElementType:
    if dtype.kind in "OSUT":
        return ElementType.string
    for element, code in _NATIVE.items():
        if np.dtype(code) == dtype:
            return element
    for element, name in _ML.items():
        if dtype.name == name:
            return element
    raise TypeError(f"no element type for numpy {dtype}")
