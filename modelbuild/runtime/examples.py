"""Inputs that people give: arrays in ``.npy`` and ``.npz`` files, an example or several in each.

Files are hostile: nothing is unpickled, what a header claims is judged before the content is read, and reading takes
as much memory as bytes come, to a limit.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from modelbuild.errors import SourceError
from modelbuild.spelling import quote
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim, Shape, bounds, show_shape

ARRAYS: Final = (".npy", ".npz")
LARGEST: Final = 1 << 31
"""The bytes that all arrays read from a file may take together, as they lie there and as the inputs take them."""
MOST: Final = 1 << 20
"""The examples of a file that are still read."""

_PIECE: Final = 1 << 20
_LONGEST_HEADER: Final = 4 << 10
"""Bytes in which the header of any array of numbers ends: 64 axes take less than half of it."""

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError)
_ENCRYPTED: Final = 1
_LISTED: Final = 12


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array says of itself."""

    shape: Ints
    is_fortran: bool
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_examples(path: Path, inputs: Mapping[str, Fact]) -> list[dict[str, Array]]:
    """The examples in a file: an array for each of ``inputs``, in its type and of a shape that it takes.

    An array without a name (``.npy``, or all that an ``.npz`` has) is for the only input. It is one example where it
    has the input's axes, and several where the first axis is one more, or longer than the input's 1. Further arrays of
    an ``.npz`` are not opened. Raises `SourceError`.
    """
    with _placed(path.name):
        return list(_together(_for_inputs(path, inputs)))


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Whatever is wrong with what is read there, as an error that says where."""
    try:
        yield
    except _DAMAGE as error:
        why = quote(str(error) or "it ends too early")
        raise SourceError(f"{place}: cannot be unpacked: {why}; save it again with numpy.savez") from error
    except (ValueError, SourceError) as error:
        raise SourceError(f"{place}: {error}") from error


def _for_inputs(path: Path, inputs: Mapping[str, Fact]) -> dict[str, Array]:
    """The examples of each input, along the first axis."""
    if path.suffix.lower() == ".npy":
        name = _only(inputs)
        with path.open("rb") as file, _placed(f"input {name!r}"):
            return {name: _array(file, path.stat().st_size, inputs[name], LARGEST)}
    if path.suffix.lower() != ".npz":
        raise ValueError(f"an array is read from {' or '.join(ARRAYS)}")
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for name, member in _members(archive, inputs).items():
            room = LARGEST - sum(array.nbytes for array in found.values())
            with _placed(f"input {name!r}"), _opened(archive, member) as file:
                found[name] = _array(file, member.file_size, inputs[name], room)
    return found


def _members(archive: zipfile.ZipFile, inputs: Mapping[str, Fact]) -> dict[str, zipfile.ZipInfo]:
    """What an archive has for each input."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if members.keys() == {"arr_0"}:
        members = {_only(inputs): members["arr_0"]}
    if missing := inputs.keys() - members.keys():
        raise ValueError(f"there is nothing for input {_listed(sorted(missing))}; found: {_listed(members)}")
    return {name: members[name] for name in inputs}


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    if member.flag_bits & _ENCRYPTED:
        raise ValueError("its array is encrypted: save it without a password")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("its array is compressed in a way that numpy does not write: save it with numpy.savez")
    if not 0 <= member.header_offset < archive.start_dir:
        raise zipfile.BadZipFile(f"it lies at byte {member.header_offset}, where no member can be")
    return archive.open(member)


def _array(file: IO[bytes], size: int, fact: Fact, room: int) -> Array:
    """The examples in ``size`` bytes of a file, along the first axis; they may take ``room`` bytes.

    What is wrong with an array of this header is said before its content is read.
    """
    start = BytesIO(file.read(_LONGEST_HEADER))
    header = _header(start)
    _expect_numbers(header.dtype, fact.dtype)
    by_example = _by_example(header.shape, fact.shape)
    if by_example[0] > MOST:  # an example may have one byte or none, and each becomes an object
        raise ValueError(f"{by_example[0]} examples, at most {MOST} are read: divide them among several files")
    if header.nbytes != (there := size - start.tell()):
        raise ValueError(f"an array of {header} has {header.nbytes} bytes, found {there}: save it again")
    _expect_room(header, fact.dtype, room)
    content = np.frombuffer(_content(file, start.read(), header.nbytes), header.dtype)
    array = content.reshape(header.shape, order="F" if header.is_fortran else "C")
    return fitting_type(array, fact.dtype).reshape(by_example)


def _header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"version {version[0]}.{version[1]} of numpy's format is not read")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        header = _Header(*read(file))
    except Exception as error:  # numpy leaves it to Python's own parser, and looks at what comes of it in part only
        why = quote(str(error) or type(error).__name__)
        raise ValueError(f"its header is none of numpy's: {why}; save it again with numpy.save") from error
    if odd := [extent for extent in header.shape if not 0 <= extent <= LARGEST]:
        raise ValueError(f"an axis of {quote(hex(odd[0]))} elements, 0 to {hex(LARGEST)} are expected: save it again")
    return header


def _expect_room(header: _Header, wanted: ElementType, room: int) -> None:
    needed = math.prod(header.shape) * max(header.dtype.itemsize, wanted.numpy.itemsize)
    if needed > room:
        raise ValueError(
            f"an array of {header} takes {needed} bytes as {wanted}, {room} are left of {LARGEST} for all arrays of a "
            "file: divide the examples among several files"
        )


def _content(file: IO[bytes], begun: bytes, size: int) -> bytearray:
    """``size`` bytes, of which some have been read. No more memory is taken than bytes come, whatever is claimed."""
    content = bytearray(begun)
    while len(content) < size and (piece := file.read(min(_PIECE, size - len(content)))):
        content += piece
    if len(content) != size:
        raise ValueError(f"{size} bytes are claimed, {len(content)} came: save it again")
    return content


def _only(inputs: Mapping[str, Fact]) -> str:
    """The input that an array without a name is for."""
    if len(inputs) != 1:
        raise ValueError(f"an array without a name, the model has the inputs {_listed(inputs)}: use an .npz")
    return next(iter(inputs))


def _by_example(found: Ints, shape: Shape | None) -> Ints:
    """The shape of an array with an axis of examples in front, each of which has ``shape``."""
    if shape is None or takes(shape, found):
        return (1, *found)
    if len(found) == len(shape) + 1 and takes(shape, found[1:]):
        return found
    if len(found) == len(shape) and takes(shape, (1, *found[1:])):
        return (found[0], 1, *found[1:])
    if takes(shape, (1, *found)):
        return (1, 1, *found)
    raise ValueError(f"{show_shape(shape)} is taken, found an array of {list(found)}")


def takes(shape: Shape, extents: Iterable[int]) -> bool:
    """Whether an array of these extents has ``shape``, as far as that is known."""
    extents = tuple(extents)
    return len(extents) == len(shape) and all(map(_within, shape, extents))


def _within(dim: Dim, extent: int) -> bool:
    low, high = bounds(dim)
    return (low is None or low <= extent) and (high is None or extent <= high)


def fitting_type(array: Array, dtype: ElementType) -> Array:
    """The same numbers as a ``dtype``; `ValueError` where they are others then. Real numbers are rounded."""
    _expect_numbers(array.dtype, dtype)
    made = array.astype(dtype.numpy)
    if not dtype.is_real and not np.array_equal(made, array):
        raise ValueError(f"the numbers of {array.dtype} do not fit into {dtype}")
    return made


def _expect_numbers(found: np.dtype[Any], wanted: ElementType) -> None:
    if wanted is ElementType.string or found.kind not in "biuf":
        raise ValueError(f"numbers of {wanted} are expected, found {found.name}")


def _together(arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    counts = {name: len(found) for name, found in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise ValueError(f"inputs have different numbers of examples: {shown}")
    for at in range(next(iter(counts.values()), 0)):
        yield {name: found[at, ...] for name, found in arrays.items()}  # arrays, though they be of no axes


def _listed(names: Iterable[str]) -> str:
    """Not all of them: an archive may have any number, of any length."""
    shown = [quote(name) for name in islice(names, _LISTED + 1)]
    return ", ".join([*shown[:_LISTED], "…"] if len(shown) > _LISTED else shown) or "none"
