"""ONNX tensors: every encoding of their content, and the files it may lie in."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from modelbuild.errors import SourceError
from modelbuild.frontends.source import SparseTensor
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.packing import unpack
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelbuild.frontends.onnx.messages import SparseTensorProto, TensorProto
    from modelbuild.frontends.wire import Blob

E = ElementType
_TYPES: Final = {
    1: E.f32, 2: E.u8, 3: E.i8, 4: E.u16, 5: E.i16, 6: E.i32, 7: E.i64, 8: E.string, 9: E.boolean, 10: E.f16,
    11: E.f64, 12: E.u32, 13: E.u64, 16: E.bf16, 17: E.f8e4m3, 19: E.f8e5m2, 21: E.u4, 22: E.i4, 23: E.f4e2m1,
    24: E.f8e8m0, 25: E.u2,
}  # fmt: skip
_FOREIGN: Final = {
    14: "COMPLEX64", 15: "COMPLEX128", 18: "FLOAT8E4M3FNUZ", 20: "FLOAT8E5M2FNUZ", 26: "INT2",
    27: "FLOAT6E2M3", 28: "FLOAT6E3M2",
}  # fmt: skip
_EXTERNAL: Final = 1
_MOST_AXES: Final = 64  # numpy's own bound
_MOST_ELEMENTS: Final = (1 << 63) - 1


def element_type(number: int) -> ElementType | None:
    """The element type of ONNX's ``TensorProto.DataType``, None for ``UNDEFINED``; ``ValueError`` for others."""
    found = _TYPES.get(number)
    if found is None and number in _FOREIGN:
        raise ValueError(f"element type {_FOREIGN[number]} has no counterpart in OpenVINO")
    if found is None and number:
        raise ValueError(f"element type {number} is not one of ONNX's")
    return found


def number_of(dtype: ElementType) -> int:
    """ONNX's number for an element type; ``ValueError`` where it has none."""
    for number, known in _TYPES.items():
        if known is dtype:
            return number
    raise ValueError(f"ONNX has no element type {dtype}")


def count_elements(dims: Sequence[int]) -> int:
    """The product of dimensions; ``ValueError`` where they are negative, too many or too large."""
    if len(dims) > _MOST_AXES:
        raise ValueError(f"{len(dims)} axes, at most {_MOST_AXES} are possible")
    if dims and min(dims) < 0:
        raise ValueError(f"negative dimension {min(dims)} in {list(dims)}")
    if (count := math.prod(dims)) > _MOST_ELEMENTS:
        raise ValueError(f"dimensions {list(dims)} have more than 2^63 - 1 elements")
    return count


class TensorReader:
    """Reads the tensors of one model. ``files`` are the model's, in the order in which they were met.

    What is read from no file has all its content with it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path or Path()
        self._sizes: dict[Path, int] = {path: path.stat().st_size} if path else {}

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._sizes)

    def read(self, proto: TensorProto, name: str) -> Tensor:
        """Give the tensor; ``name`` is what errors call it."""
        try:
            dtype = element_type(proto.data_type)
            if dtype is None:
                raise ValueError("it has no element type")
            shape = tuple(proto.dims)
            count = count_elements(shape)
            if proto.data_location == _EXTERNAL:
                return self._external(proto, dtype, shape, dtype.nbytes(count))
            if blob := _blob(proto, dtype):
                return self._raw(blob, dtype, shape, dtype.nbytes(count))
            elements = _listed(proto, dtype, count)
        except ValueError as reason:
            raise SourceError(f"tensor {name!r}: {reason}") from None
        if elements.size != count:
            raise SourceError(f"tensor {name!r}: found {elements.size} elements, expected {count} for {list(shape)}")
        return InMemory(elements.reshape(shape))

    def read_sparse(self, proto: SparseTensorProto, name: str) -> SparseTensor:
        if proto.values is None or proto.indices is None:
            raise SourceError(f"tensor {name!r}: found a sparse tensor without values or indices, expected both")
        try:
            count_elements(proto.dims)
        except ValueError as reason:
            raise SourceError(f"tensor {name!r}: {reason}") from None
        return SparseTensor(self.read(proto.values, name), self.read(proto.indices, name), tuple(proto.dims))

    def _raw(self, blob: Blob, dtype: ElementType, shape: Ints, nbytes: int) -> Tensor:
        if dtype is E.string:
            raise ValueError("strings cannot be raw data")
        if blob.length != nbytes:
            raise ValueError(f"found {blob.length} bytes, expected {nbytes} for {dtype} {list(shape)}")
        if blob.content is None:
            return Mapped(self._path, blob.offset, dtype, shape)
        if dtype.bits >= 8:
            return InMemory(np.ndarray(shape, dtype.numpy, blob.content))
        elements = unpack(np.frombuffer(blob.content, np.uint8), dtype, math.prod(shape))
        return InMemory(elements.reshape(shape))

    def _external(self, proto: TensorProto, dtype: ElementType, shape: Ints, nbytes: int) -> Tensor:
        if dtype is E.string:
            raise ValueError("strings cannot be external data")
        said = {entry.key: entry.value for entry in proto.external_data}
        offset, length = _natural(said, "offset", 0), _natural(said, "length", nbytes)
        if length != nbytes:
            raise ValueError(f"found {length} external bytes, expected {nbytes} for {dtype} {list(shape)}")
        path, size = self._beside(said.get("location", ""))
        if offset + length > size:
            raise ValueError(f"{path} has {size} bytes, expected {length} at {offset}")
        return Mapped(path, offset, dtype, shape)

    def _beside(self, location: str) -> tuple[Path, int]:
        """The external file at ``location``, which must lie in the model's folder, also behind links, and its size."""
        parts = PurePosixPath(location)
        if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in location:
            raise ValueError(f"external data at {location!r}, expected a path within the model's folder")
        path = self._path.parent / location
        if path not in self._sizes:
            folder = os.path.realpath(self._path.parent)
            if os.path.commonpath([folder, os.path.realpath(path)]) != folder:
                raise ValueError(f"external data at {location!r} leads out of the model's folder")
            try:
                status = path.stat()
            except OSError as error:
                raise ValueError(f"external data at {path}: {error.strerror}") from error
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"external data at {path} is not a file")
            self._sizes[path] = status.st_size
        return path, self._sizes[path]


def _natural(said: dict[str, str], key: str, default: int) -> int:
    text = said.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"found external {key} {text!r}, expected a natural number")
    return int(text)


def _blob(proto: TensorProto, dtype: ElementType) -> Blob | None:
    """The bytes of the content, where they are written as such."""
    if proto.raw_data and proto.raw_data.length:
        return proto.raw_data
    return {E.f32: proto.packed_floats, E.f64: proto.packed_doubles}.get(dtype)


def _listed(proto: TensorProto, dtype: ElementType, count: int) -> Array:
    """The elements from the field that holds this type's, flat."""
    match dtype:
        case E.string:
            texts = [text.decode("utf-8", "surrogateescape") for text in proto.string_data]
            return np.array([*texts, None], object)[:-1]  # keeps an empty list one of objects
        case E.f32:
            return np.array(proto.float_data, np.float32)
        case E.f64:
            return np.array(proto.double_data, np.float64)
        case E.i64:
            return np.array(proto.int64_data, np.int64)
        case E.u32 | E.u64:
            return np.array(proto.uint64_data, dtype.numpy)
    numbers = np.array(proto.int32_data, np.int32)
    if dtype is E.boolean:
        return numbers.astype(np.bool_)
    if dtype.bits >= 8:
        return unpack(numbers.astype(f"u{dtype.bits // 8}").view(np.uint8), dtype, numbers.size)
    octets = numbers.astype(np.uint8)  # several elements each
    return unpack(octets, dtype, min(count, octets.size * 8 // dtype.bits))
