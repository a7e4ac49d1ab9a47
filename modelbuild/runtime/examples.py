"""Inputs that people give: arrays in ``.npy`` and ``.npz`` files, an example or several in each.

Files are hostile: nothing is unpickled, and an array is read only where the file has as many bytes as it claims.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import numpy as np

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, Shape, bounds, show_shape

ARRAYS: Final = (".npy", ".npz")
LARGEST: Final = 1 << 31
"""The bytes of an array that is still read."""


def read_examples(path: Path, inputs: Mapping[str, Fact]) -> list[dict[str, Array]]:
    """The examples in a file: an array for each of ``inputs``, in its type and of a shape that it takes.

    An array without a name (``.npy``, or all that an ``.npz`` has) is for the only input. It is one example where it
    has the input's axes, and several where the first axis is one more, or longer than the input's 1. Further arrays of
    an ``.npz`` are left alone. Raises `SourceError`.
    """
    try:
        return list(_together(_for_inputs(_arrays(path), inputs)))
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise SourceError(f"{path.name}: {error}") from error


def _arrays(path: Path) -> dict[str, Array]:
    """What is in a file, by name; an array of an ``.npy`` has none."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            return {"": _array(file, path.stat().st_size)}
    if path.suffix.lower() != ".npz":
        raise ValueError(f"an array is read from {' or '.join(ARRAYS)}")
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ValueError(f"{member.filename} is compressed in a way that numpy does not write")
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
    return found if found.keys() != {"arr_0"} else {"": found["arr_0"]}


def _array(file: IO[bytes], size: int) -> Array:
    """The array in ``size`` bytes of a file."""
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"version {version[0]}.{version[1]} of numpy's format is not read")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise ValueError(f"an array of numbers is expected, found one of {dtype}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != there or claimed > LARGEST or min(shape, default=0) < 0:
        raise ValueError(
            f"an array of {dtype}{list(shape)} has {claimed} bytes, found {there}; at most {LARGEST} are read"
        )
    content = file.read(claimed)
    if len(content) != claimed:
        raise ValueError(f"{claimed} bytes are expected, found {len(content)}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _for_inputs(arrays: Mapping[str, Array], inputs: Mapping[str, Fact]) -> dict[str, list[Array]]:
    if arrays.keys() == {""}:
        if len(inputs) != 1:
            raise ValueError(f"an array without a name, the model has the inputs {_listed(inputs)}: use an .npz")
        arrays = {next(iter(inputs)): arrays[""]}
    if missing := inputs.keys() - arrays.keys():
        raise ValueError(f"there is nothing for input {_listed(sorted(missing))}; found: {_listed(arrays)}")
    return {name: list(_split(name, arrays[name], fact)) for name, fact in inputs.items()}


def _split(name: str, array: Array, fact: Fact) -> Iterator[Array]:
    """The examples in an array."""
    try:
        array = fitting_type(array, fact.dtype)
    except ValueError as error:
        raise ValueError(f"input {name!r}: {error}") from None
    shape = fact.shape
    if shape is None or takes(shape, array.shape):
        yield array
    elif array.ndim == len(shape) + 1 and takes(shape, array.shape[1:]):
        yield from (array[at, ...] for at in range(len(array)))  # an array each, though it be of no axes
    elif array.ndim == len(shape) and takes(shape, (1, *array.shape[1:])):
        yield from array[:, np.newaxis]
    elif takes(shape, (1, *array.shape)):
        yield array[np.newaxis]
    else:
        raise ValueError(f"input {name!r} takes {show_shape(shape)}, found an array of {list(array.shape)}")


def takes(shape: Shape, extents: Iterable[int]) -> bool:
    """Whether an array of these extents has ``shape``, as far as that is known."""
    extents = tuple(extents)
    return len(extents) == len(shape) and all(map(_within, shape, extents))


def _within(dim: Dim, extent: int) -> bool:
    low, high = bounds(dim)
    return (low is None or low <= extent) and (high is None or extent <= high)


def fitting_type(array: Array, dtype: ElementType) -> Array:
    """The same numbers as a ``dtype``; `ValueError` where they are others then. Real numbers are rounded."""
    if dtype is ElementType.string or array.dtype.kind not in "biuf":
        raise ValueError(f"numbers of {dtype} are expected, found {array.dtype}")
    made = array.astype(dtype.numpy)
    if not dtype.is_real and not np.array_equal(made, array):
        raise ValueError(f"the numbers of {array.dtype} do not fit into {dtype}")
    return made


def _together(arrays: Mapping[str, list[Array]]) -> Iterator[dict[str, Array]]:
    counts = {name: len(found) for name, found in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise ValueError(f"inputs have different numbers of examples: {shown}")
    for at in range(next(iter(counts.values()), 0)):
        yield {name: found[at] for name, found in arrays.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
