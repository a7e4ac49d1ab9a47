"""Protobuf's wire format, read by tables of messages that the project declares itself.

A message is a class whose attributes say where its fields are::

    class NodeProto(Message):
        input = many(1, STRING)
        op_type = one(4, STRING)
        attribute = children(5, lambda: AttributeProto)

``read_file(path, ModelProto)`` gives instances with the values found; an attribute that was not there has its
default. Fields that are not declared are skipped. A ``BLOB`` that is not small stays in the file, so that reading a
model costs the same with its weights inside as without.
"""

from __future__ import annotations

import struct
from array import array
from io import SEEK_END
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar, cast

import msgspec
import numpy as np

from modelbuild.collector import collector_paused
from modelbuild.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DEEPEST = 100
"""Messages within messages; protobuf's own readers stop here too."""

WINDOW = 1 << 16
"""Bytes that are read at once."""

SMALL_BLOB = 4096
"""Bytes up to which a blob in a file is read with what surrounds it."""

T = TypeVar("T")
M = TypeVar("M", bound="Message")
_PADDING = bytes(20)  # a tag and a number may be read beyond the end before that is noticed
_VARINT, _FIXED, _STRING, _BYTES, _BLOB, _MESSAGE, _PACKED_VARINTS, _PACKED_FIXED = range(8)
_LAYING_OUT = RLock()  # messages refer to each other: a layout is filled after it can be seen
_PACKED = {_VARINT: _PACKED_VARINTS, _FIXED: _PACKED_FIXED}


class Blob(NamedTuple):
    """Bytes of the source; ``content`` is there when they are few, or when the source is in memory."""

    offset: int
    length: int
    content: bytes | None


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """A type of protobuf: how it is read, and for a number its type in ``struct`` and ``array``."""

    how: int
    code: str
    default: T


INT32 = Kind(_VARINT, "i", 0)
INT64 = Kind(_VARINT, "q", 0)
UINT32 = Kind(_VARINT, "I", 0)
UINT64 = Kind(_VARINT, "Q", 0)
BOOL = Kind(_VARINT, "b", default=False)
ENUM = INT32
FLOAT = Kind(_FIXED, "f", 0.0)
DOUBLE = Kind(_FIXED, "d", 0.0)
FIXED32 = Kind(_FIXED, "I", 0)
FIXED64 = Kind(_FIXED, "Q", 0)
STRING = Kind(_STRING, "", "")
BYTES = Kind(_BYTES, "", b"")
BLOB: Kind[Blob | None] = Kind(_BLOB, "", None)
_NESTED: Kind[Any] = Kind(_MESSAGE, "", None)


class _Field(NamedTuple):
    number: int
    kind: Kind[Any]
    repeated: bool
    default: object
    child: Callable[[], type[Message]] | None = None


def one(number: int, kind: Kind[T]) -> T:
    """Declare a field that has its kind's default when it is absent."""
    return cast("T", _Field(number, kind, repeated=False, default=kind.default))


def optional(number: int, kind: Kind[T]) -> T | None:
    """Declare a field that is None when it is absent."""
    return cast("T", _Field(number, kind, repeated=False, default=None))


def many(number: int, kind: Kind[T]) -> Sequence[T]:
    """Declare a repeated field, packed or not; numbers come in an ``array``."""
    return cast("Sequence[T]", _Field(number, kind, repeated=True, default=()))


def child(number: int, message: Callable[[], type[M]]) -> M | None:
    """Declare a message within this one."""
    return cast("M | None", _Field(number, _NESTED, repeated=False, default=None, child=message))


def children(number: int, message: Callable[[], type[M]]) -> Sequence[M]:
    """Declare repeated messages within this one."""
    return cast("Sequence[M]", _Field(number, _NESTED, repeated=True, default=(), child=message))


class Message:
    """The base of declared messages. Absent fields are class attributes, so an instance holds what was found only."""

    _fields: ClassVar[dict[str, _Field]]
    _layout: ClassVar[_Layout | None] = None

    def __init_subclass__(cls) -> None:
        cls._fields = {name: field for name, field in vars(cls).items() if isinstance(field, _Field)}
        for name, field in cls._fields.items():
            setattr(cls, name, field.default)

    @classmethod
    def layout(cls) -> _Layout:
        """Give the entries by tag: ``number << 3 | wire type``."""
        with _LAYING_OUT:
            if cls._layout is None:
                cls._layout = {}
                for name, field in cls._fields.items():
                    _lay_out(cls._layout, name, field)
            return cls._layout


_Entry: TypeAlias = "tuple[str, int, bool, str, type[Message] | None, _Layout]"
"""How a tag of a message is read: name, how, whether it is repeated, code, the message within and its layout.

It is taken apart for every field of a file, and Python is slow to take apart a tuple with names.
"""

_Layout: TypeAlias = dict[int, _Entry]


def _lay_out(layout: _Layout, name: str, field: _Field) -> None:
    number, kind, repeated, _, child_of = field
    wire = {_VARINT: 0, _FIXED: 5 if kind.code in "fI" else 1}.get(kind.how, 2)
    nested = child_of() if child_of else None
    inner = nested.layout() if nested else {}
    layout[number << 3 | wire] = name, kind.how, repeated, kind.code, nested, inner
    if repeated and wire != 2:
        layout[number << 3 | 2] = name, _PACKED[kind.how], repeated, kind.code, None, {}


def read_file(path: Path, message: type[M]) -> M:
    """Read a file that holds one message; raises ``SourceError`` where it is not one."""
    with collector_paused(), path.open("rb", buffering=0) as file:

        def source(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return _Reader(str(path), file.seek(0, SEEK_END), source).read(message)


def read_bytes(content: bytes, message: type[M], name: str) -> M:
    """Read a message in memory; ``name`` is what errors call it. Its blobs all have their content."""
    found = _Reader(name, len(content), lambda offset, length: content[offset : offset + length], len(content))
    with collector_paused():
        return found.read(message)


class _Reader:
    """Decodes within a window of the source.

    What fits into the window is decoded by ``_fill``, which knows nothing of windows but stops before a field that
    goes beyond its end; ``_walk`` moves the window over messages that do not fit, and steps over blobs.
    """

    def __init__(self, name: str, size: int, source: Callable[[int, int], bytes], small_blob: int = SMALL_BLOB) -> None:
        self._name, self._size, self._source, self._small_blob = name, size, source, small_blob
        self._base, self._stop, self._buffer = 0, 0, b""

    def read(self, message: type[M]) -> M:
        found = message()
        self._walk(found, 0, self._size, 0)
        return found

    def _walk(self, message: Message, at: int, end: int, depth: int) -> None:
        """Read the fields from offset ``at`` to ``end`` into ``message``."""
        layout = message.layout()
        self._bound(depth, at)
        while at < end:
            self._load(at, min(end, at + len(_PADDING)))
            stop = min(self._stop, end)
            at = self._base + self._fill(message.__dict__, layout, at - self._base, stop - self._base, depth)
            if at < stop:
                at = self._stride(message.__dict__, layout, at, end, depth)

    def _stride(self, values: dict[str, Any], layout: _Layout, at: int, end: int, depth: int) -> int:
        """Read the field at offset ``at``, which goes beyond the window, and give the offset behind it."""
        stop = min(end, at + len(_PADDING))
        self._load(at, stop)
        tag, place = self._varint(at - self._base)
        if tag & 7 == 2:
            length, place = self._varint(place)
            start = self._base + place
            stop = start + length
            if stop > end:
                self._overrun(at, end)
            entry = layout.get(tag)
            if entry is None:
                self._refuse_known(tag, layout, at)
                return stop
            name, how, repeated, _, child, _ = entry
            if how == _BLOB and not repeated:
                values[name] = self._blob(start, length)
                return stop
            if child and length > WINDOW:
                nested = child() if repeated or name not in values else values[name]
                self._walk(nested, start, stop, depth + 1)
                if repeated:
                    values.setdefault(name, []).append(nested)
                else:
                    values[name] = nested
                return stop
            self._load(at, stop)
        reached = self._base + self._fill(values, layout, at - self._base, stop - self._base, depth)
        if reached == at:
            self._overrun(at, end)
        return reached

    def _fill(self, values: dict[str, Any], layout: _Layout, pos: int, end: int, depth: int) -> int:  # noqa: PLR0915
        """Read the fields between two places of the window; gives the place of the first that goes beyond ``end``."""
        # All in one function: a call for each field would cost as much as reading it.
        buffer = self._buffer
        while pos < end:
            mark = pos
            tag = buffer[pos]
            pos += 1
            if tag > 127:
                if buffer[pos] < 128:
                    tag += (buffer[pos] - 1) << 7
                    pos += 1
                else:
                    tag, pos = self._varint(mark)
            wire = tag & 7
            entry = layout.get(tag)
            if wire == 2:
                length = buffer[pos]
                pos += 1
                if length > 127:
                    length, pos = self._varint(pos - 1)
                stop = pos + length
                if stop > end:
                    return mark
                if entry is None:
                    self._refuse_known(tag, layout, self._base + mark)
                    pos = stop
                    continue
                name, how, repeated, code, nested, inner = entry
                if how == _STRING:
                    try:
                        value: Any = buffer[pos:stop].decode()
                    except UnicodeDecodeError:
                        self._refuse(pos, "text that is not UTF-8", f"{name} to be UTF-8")
                elif nested is not None:
                    if depth >= DEEPEST:
                        self._bound(depth + 1, self._base + mark)
                    # A message that is there twice without being repeated is merged, as protobuf asks.
                    value = nested() if repeated or name not in values else values[name]
                    reached = self._fill(value.__dict__, inner, pos, stop, depth + 1)
                    if reached != stop:
                        self._overrun(self._base + reached, self._base + stop)
                elif how == _BYTES:
                    value = buffer[pos:stop]
                elif how == _BLOB:
                    value = Blob(self._base + pos, length, buffer[pos:stop] if length <= self._small_blob else None)
                else:
                    numbers = values.setdefault(name, array(code))
                    if how == _PACKED_VARINTS:
                        self._packed_varints(numbers, pos, stop)
                    elif length % numbers.itemsize:
                        self._refuse(pos, f"{length} packed bytes", f"a multiple of {numbers.itemsize}")
                    else:
                        numbers.frombytes(buffer[pos:stop])
                    pos = stop
                    continue
                pos = stop
            elif wire == 0:
                value = buffer[pos]
                pos += 1
                if value > 127:
                    value, pos = self._varint(pos - 1)
                if pos > end:
                    return mark
                if entry is None:
                    self._refuse_known(tag, layout, self._base + mark)
                    continue
                name, _, repeated, code, _, _ = entry
                if code == "b":
                    value = value != 0
                elif value > 0x7FFFFFFF:
                    value = _wrapped(value, code)
            elif wire in {1, 5}:
                stop = pos + (8 if wire == 1 else 4)
                if stop > end:
                    return mark
                if entry is None:
                    self._refuse_known(tag, layout, self._base + mark)
                    pos = stop
                    continue
                name, _, repeated, code, _, _ = entry
                (value,) = struct.unpack_from("<" + code, buffer, pos)
                pos = stop
            else:
                self._refuse(mark, f"wire type {wire}", "0, 1, 2 or 5")
            if not repeated:
                values[name] = value
            elif (items := values.get(name)) is not None:
                items.append(value)
            else:
                values[name] = array(code, (value,)) if code else [value]
        return pos

    def _varint(self, pos: int) -> tuple[int, int]:
        """Read a number of up to ten bytes; gives it and the place behind it, which may lie beyond the window."""
        buffer = self._buffer
        value = shift = 0
        while True:
            byte = buffer[pos]
            pos += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, pos
            shift += 7
            if shift == 70:
                self._refuse(pos - 10, "a number of more than ten bytes", "at most ten")

    def _packed_varints(self, numbers: array[Any], pos: int, end: int) -> None:
        if end - pos <= 64:
            code = numbers.typecode
            while pos < end:
                mark = pos
                value, pos = self._varint(mark)
                if pos > end:
                    self._overrun(self._base + mark, self._base + end)
                numbers.append(_wrapped(value, code))
            return
        octets = np.frombuffer(self._buffer, np.uint8, end - pos, pos)
        if octets[-1] > 127:
            self._overrun(self._base + end - 1, self._base + end)
        at = 0
        while at < octets.size:
            block = octets[at : at + WINDOW]
            ends = np.flatnonzero(block < 128)
            starts = np.concatenate(([0], ends[:-1] + 1))
            if not ends.size or (ends - starts).max() > 9:
                self._refuse(pos + at, "a number of more than ten bytes", "at most ten")
            block = block[: ends[-1] + 1]
            places = np.arange(block.size) - np.repeat(starts, ends - starts + 1)
            parts = (block & np.uint8(127)).astype(np.uint64) << (7 * places).astype(np.uint64)
            whole = np.bitwise_or.reduceat(parts, starts)
            if numbers.typecode == "b":
                whole = whole != 0
            numbers.frombytes(whole.astype(numbers.typecode).tobytes())
            at += block.size

    def _blob(self, offset: int, length: int) -> Blob:
        """Give a blob that may go beyond the window."""
        if length > self._small_blob:
            return Blob(offset, length, None)
        self._load(offset, offset + length)
        return Blob(offset, length, self._buffer[offset - self._base : offset - self._base + length])

    def _load(self, start: int, stop: int) -> None:
        """Make the window hold a range of the source, and more where that is near."""
        if self._base <= start and stop <= self._stop:
            return
        wanted = min(max(stop - start, WINDOW), self._size - start)
        content = self._source(start, wanted)
        while len(content) < wanted and (more := self._source(start + len(content), wanted - len(content))):
            content += more
        if len(content) < wanted:
            raise SourceError(f"{self._name}: offset {start}: found {len(content)} bytes, expected {wanted}")
        self._base, self._stop, self._buffer = start, start + wanted, content + _PADDING

    def _bound(self, depth: int, offset: int) -> None:
        if depth > DEEPEST:
            self._refuse(offset - self._base, f"messages nested {depth} deep", f"at most {DEEPEST}")

    def _refuse_known(self, tag: int, layout: _Layout, offset: int) -> None:
        """Refuse a field that is declared with another wire type; one that is not declared may be skipped."""
        number, wire = tag >> 3, tag & 7
        if not number:
            self._refuse(offset - self._base, "field number 0", "a field")
        for other in range(8):
            if entry := layout.get(number << 3 | other):
                self._refuse(offset - self._base, f"{entry[0]} with wire type {wire}", f"wire type {other}")

    def _overrun(self, offset: int, end: int) -> NoReturn:
        self._refuse(offset - self._base, f"a field that goes beyond its message's end at {end}", "a whole one")

    def _refuse(self, pos: int, found: str, expected: str) -> NoReturn:
        raise SourceError(f"{self._name}: offset {self._base + pos}: found {found}, expected {expected}")


def _wrapped(value: int, code: str) -> int:
    """Give the number that 64 bits of the wire mean for a type."""
    if code == "q":
        return value - (1 << 64) if value >> 63 else value
    if code == "i":
        value &= 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value
    if code == "I":
        return value & 0xFFFFFFFF
    return int(value != 0) if code == "b" else value
