"""The wire format: what is read, what is skipped, what is refused."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from modelbuild.errors import SourceError
from modelbuild.frontends import wire
from modelbuild.frontends.wire import (
    BLOB,
    BOOL,
    BYTES,
    DOUBLE,
    FIXED32,
    FIXED64,
    FLOAT,
    INT32,
    INT64,
    STRING,
    UINT32,
    UINT64,
    Blob,
    Message,
    child,
    children,
    many,
    one,
    optional,
    read_bytes,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Leaf(Message):
    number = one(1, INT64)
    blob = one(2, BLOB)
    text = one(3, STRING)


class Tree(Message):
    name = one(1, STRING)
    leaf = child(2, lambda: Leaf)
    leaves = children(3, lambda: Leaf)
    ints = many(4, INT64)
    floats = many(5, FLOAT)
    doubles = many(6, DOUBLE)
    texts = many(7, STRING)
    narrow = one(8, INT32)
    unsigned = one(9, UINT64)
    small = one(10, UINT32)
    flag = one(11, BOOL)
    fixed = one(12, FIXED32)
    wide = one(13, FIXED64)
    octets = one(14, BYTES)
    maybe = optional(15, INT64)
    flags = many(16, BOOL)
    narrows = many(17, INT32)
    deeper: Tree | None = child(18, lambda: Tree)
    trees: Sequence[Tree] = children(19, lambda: Tree)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def tree(content: bytes) -> Tree:
    return read_bytes(content, Tree, "bytes")


def test_an_empty_message_has_every_default() -> None:
    found = tree(b"")
    assert (found.name, found.leaf, found.leaves, found.ints, found.maybe) == ("", None, (), (), None)
    assert (found.flag, found.octets, found.unsigned) == (False, b"", 0)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_signed_numbers_are_twos_complement(value: int) -> None:
    assert tree(number(15, value)).maybe == value


def test_numbers_keep_to_their_type() -> None:
    found = tree(number(8, -5) + number(9, 2**64 - 1) + number(10, 2**32 + 7) + number(11, 2))
    assert (found.narrow, found.unsigned, found.small, found.flag) == (-5, 2**64 - 1, 7, True)


def test_fixed_numbers_are_little_endian() -> None:
    found = tree(b"\x65" + struct.pack("<I", 7) + b"\x69" + struct.pack("<Q", 9) + b"\x2d" + struct.pack("<f", 0.5))
    assert (found.fixed, found.wide, list(found.floats)) == (7, 9, [0.5])


def test_the_last_value_of_a_single_field_counts() -> None:
    assert tree(field(1, b"one") + field(1, b"two")).name == "two"


def test_a_single_message_that_is_there_twice_is_merged() -> None:
    leaf = tree(field(2, number(1, 5)) + field(2, field(3, b"x"))).leaf
    assert leaf is not None
    assert (leaf.number, leaf.text) == (5, "x")


@pytest.mark.parametrize("count", [3, 500, 100_000])
def test_repeated_numbers_may_be_packed_or_not_or_both(count: int) -> None:
    numbers = [n * n * (-1) ** n for n in range(count)]
    packed = field(4, b"".join(map(varint, numbers)))
    loose = b"".join(number(4, n) for n in numbers)
    assert list(tree(packed + loose).ints) == numbers + numbers


def test_packed_numbers_of_every_type() -> None:
    found = tree(
        field(5, struct.pack("<3f", 1, 2, 3))
        + field(6, struct.pack("<2d", 0.1, 0.2))
        + field(16, b"\x01\x00" * 50 + b"\x82\x01")
        + field(17, varint(-7) * 20)
    )
    assert (list(found.floats), list(found.doubles)) == ([1, 2, 3], [0.1, 0.2])
    assert list(found.flags) == [1, 0] * 50 + [1]
    assert list(found.narrows) == [-7] * 20


def test_repeated_texts_and_messages_keep_their_order() -> None:
    found = tree(field(7, b"b") + field(3, number(1, 1)) + field(7, "ä".encode()) + field(3, b""))
    assert list(found.texts) == ["b", "ä"]
    assert [leaf.number for leaf in found.leaves] == [1, 0]


def test_unknown_fields_are_skipped() -> None:
    unknown = field(99, b"?" * 70_000) + number(98, 1) + b"\xb9\x06" + bytes(8) + b"\xbd\x06" + bytes(4)
    assert tree(unknown + field(1, b"known") + unknown).name == "known"


@pytest.mark.parametrize("in_file", [True, False])
def test_a_blob_has_its_place_and_if_small_its_content(tmp_path: Path, in_file: bool) -> None:
    big = bytes(range(256)) * 400
    content = field(3, field(2, b"small")) + field(2, number(1, 7) + field(2, big) + field(3, b"after"))
    (tmp_path / "tree").write_bytes(content)
    found = read_file(tmp_path / "tree", Tree) if in_file else tree(content)
    small, leaf = found.leaves[0].blob, found.leaf
    assert small == Blob(content.index(b"small"), 5, b"small")
    assert leaf is not None
    assert (leaf.number, leaf.text) == (7, "after")
    assert leaf.blob == Blob(content.index(big), len(big), None if in_file else big)


@pytest.mark.parametrize("window", [40, 64, 100, 1000])
def test_a_window_may_end_anywhere(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(wire, "WINDOW", window)
    leaves = b"".join(field(3, number(1, n**8) + field(2, b"#" * (n % 90)) + field(3, b"t" * n)) for n in range(150))
    packed = field(4, b"".join(varint(n**7) for n in range(50)))
    found = tree(field(18, field(1, b"inner") + leaves + packed) + field(1, b"outer") + number(8, -1) + packed)
    inner = found.deeper
    assert inner is not None
    assert (found.name, inner.name, found.narrow) == ("outer", "inner", -1)
    assert [(leaf.number, len(leaf.text)) for leaf in inner.leaves] == [(n**8, n) for n in range(150)]
    assert [leaf.blob.length for leaf in inner.leaves if leaf.blob] == [n % 90 for n in range(150)]
    assert list(inner.ints) == list(found.ints) == [n**7 for n in range(50)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (field(1, b"long")[:-1], r"offset 0: found a field that goes beyond its message's end at 5"),
        (number(15, 1) + b"\x78", r"offset 2: found a field that goes beyond"),
        (b"\x78\x80", r"offset 0: found a field that goes beyond"),
        (b"\x65\x01\x02", r"offset 0: found a field that goes beyond"),
        (field(2, number(1, 300)[:-1]), r"offset 2: found a field that goes beyond its message's end at 4"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", r"offset 0: found a field that goes beyond"),
        (b"\x78" + b"\xff" * 10 + b"\x01", r"offset 1: found a number of more than ten bytes"),
        (field(4, b"\xff" * 99 + b"\x01"), r"offset 2: found a number of more than ten bytes"),
        (field(4, b"\x01" * 99 + b"\xff"), r"offset 101: found a field that goes beyond"),
        (field(4, b"\x01\xff"), r"offset 3: found a field that goes beyond"),
        (field(5, b"123"), r"offset 2: found 3 packed bytes, expected a multiple of 4"),
        (field(1, b"\xff"), r"offset 2: found text that is not UTF-8, expected name to be UTF-8"),
        (number(1, 1), r"offset 0: found name with wire type 0, expected wire type 2"),
        (field(15, b"1"), r"offset 0: found maybe with wire type 2, expected wire type 0"),
        (b"\x0b\x0c", r"offset 0: found wire type 3, expected 0, 1, 2 or 5"),
        (b"\x0f", r"offset 0: found wire type 7"),
        (b"\x00\x00", r"offset 0: found field number 0"),
    ],
)
def test_what_is_not_the_message_is_refused_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=r"^bytes: " + message):
        tree(content)


@pytest.mark.parametrize("filling", [b"", b"x" * 70_000])
def test_messages_nest_to_a_bound(filling: bytes) -> None:
    content = field(1, filling)
    for _ in range(100):
        content = field(18, content)
    deepest = tree(content)
    while deepest.deeper:
        deepest = deepest.deeper
    assert len(deepest.name) == len(filling)
    with pytest.raises(SourceError, match="found messages nested 101 deep, expected at most 100"):
        tree(field(18, content))


def test_every_cut_of_a_message_is_refused() -> None:
    content = field(18, field(1, b"name") + number(8, -1) + field(2, number(1, 300)) + b"\x65abcd" + field(5, bytes(8)))
    for length in range(1, len(content)):
        with pytest.raises(SourceError, match="bytes: offset"):
            tree(content[:length])


def test_a_length_that_the_file_does_not_back_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "liar").write_bytes(b"\x0a" + varint(1 << 40) + b"x" * 100)
    tracemalloc.start()
    with pytest.raises(SourceError, match="goes beyond"):
        read_file(tmp_path / "liar", Tree)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_blobs_in_a_file_are_not_read(tmp_path: Path) -> None:
    size = 1 << 30
    start = b"\x08\x07\x12" + varint(size)
    head = b"\x12" + varint(len(start) + size) + start
    with (tmp_path / "big").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)  # sparse: it takes no space on the disk
    tracemalloc.start()
    leaf = read_file(tmp_path / "big", Tree).leaf
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert leaf is not None
    assert leaf.number == 7
    assert leaf.blob == Blob(len(head), size, None)
    assert peak < 1 << 20
