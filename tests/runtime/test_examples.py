from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelbuild.errors import SourceError
from modelbuild.runtime.examples import read_examples
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr

PICTURE = {"image": Fact(ElementType.f32, (1, 3, 4, 4))}
SENTENCE = {"ids": Fact(ElementType.i64, (1, Expr.symbol("n"))), "mask": Fact(ElementType.i64, (1, Expr.symbol("n")))}


def saved(path: Path, array: Any, **more: Any) -> Path:
    np.save(path, array, **more)
    return path


def shapes(examples: list[dict[str, Array]], name: str = "image") -> list[tuple[int, ...]]:
    return [example[name].shape for example in examples]


@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 3, 4, 4), 1), ((5, 3, 4, 4), 5), ((5, 1, 3, 4, 4), 5), ((3, 4, 4), 1)],
    ids=["the input's own", "a longer batch", "one axis more", "without the batch"],
)
def test_examples_are_told_apart_by_their_axes(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    found = read_examples(saved(tmp_path / "a.npy", np.zeros(shape, np.float32)), PICTURE)
    assert shapes(found) == [(1, 3, 4, 4)] * count


def test_the_numbers_are_those_of_the_file_in_the_inputs_type(tmp_path: Path) -> None:
    content = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    (found,) = read_examples(saved(tmp_path / "a.npy", np.asfortranarray(content)), PICTURE)
    assert found["image"].dtype == np.float32
    assert np.array_equal(found["image"][0], content)


def test_an_archive_names_the_inputs(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", ids=np.ones((4, 1, 7)), mask=np.ones((4, 1, 7)), labels=np.zeros(4))
    found = read_examples(tmp_path / "a.npz", SENTENCE)
    assert [sorted(example) for example in found] == [["ids", "mask"]] * 4
    assert shapes(found, "ids") == [(1, 7)] * 4


def test_an_input_without_examples_is_named_beside_what_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.ones((1, 7)), msak=np.ones((1, 7)))
    with pytest.raises(SourceError, match="nothing for input 'mask'; found: 'ids', 'msak'"):
        read_examples(tmp_path / "a.npz", SENTENCE)


def test_an_array_without_a_name_is_for_an_only_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.npy: an array without a name.*'ids', 'mask'"):
        read_examples(saved(tmp_path / "a.npy", np.ones((1, 7))), SENTENCE)


def test_an_example_of_an_input_without_axes_is_an_array(tmp_path: Path) -> None:
    rate = {"rate": Fact(ElementType.i64, ())}
    found = read_examples(saved(tmp_path / "a.npy", np.array([8000, 16000])), rate)
    assert [(type(example["rate"]), example["rate"].shape) for example in found] == [(np.ndarray, ())] * 2


def test_inputs_have_as_many_examples_as_each_other(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.ones((4, 1, 7)), mask=np.ones((3, 1, 7)))
    with pytest.raises(SourceError, match="4 for 'ids', 3 for 'mask'"):
        read_examples(tmp_path / "a.npz", SENTENCE)


def test_numbers_that_the_input_cannot_hold_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.full((1, 7), 0.5), mask=np.ones((1, 7)))
    with pytest.raises(SourceError, match="input 'ids': the numbers of float64 do not fit into i64"):
        read_examples(tmp_path / "a.npz", SENTENCE)


# ---- hostile files ----


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def npy(array: Array) -> bytes:
    content = BytesIO()
    np.save(content, array)
    return content.getvalue()


def archive(path: Path, content: bytes, name: str = "image.npy", **said: Any) -> Path:
    """Another member in an archive, of which the archive's directory says something else."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
        for field, value in said.items():
            setattr(file.getinfo(name), field, value)
    return path


def damage(path: Path) -> Path:
    """Bytes that no deflated stream begins with, where the first member lies."""
    content = bytearray(path.read_bytes())
    name = int.from_bytes(content[26:28], "little")
    content[30 + name : 34 + name] = b"\xff" * 4
    path.write_bytes(content)
    return path


IMAGE = npy(np.ones((1, 3, 4, 4), np.float32))


def test_an_array_for_no_input_takes_no_memory(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy(np.zeros(16 << 20, np.uint8)), "labels.npy")
    archive(path, IMAGE)
    with little_memory():
        assert shapes(read_examples(path, PICTURE)) == [(1, 3, 4, 4)]


@pytest.mark.parametrize("said", [{"flag_bits": 1}, {"compress_type": 99}, {"header_offset": 1 << 62}])
def test_an_array_for_no_input_is_not_looked_at(tmp_path: Path, said: Mapping[str, Any]) -> None:
    path = archive(tmp_path / "a.npz", IMAGE)
    archive(path, npy(np.array(["a", None])), "labels.npy", **said)
    assert shapes(read_examples(path, PICTURE)) == [(1, 3, 4, 4)]


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"flag_bits": 1}, "its array is encrypted: save it without a password"),
        ({"flag_bits": 1 << 5}, r"cannot be unpacked: 'compressed patched data.*'; save it again"),
        ({"compress_type": 99}, "compressed in a way that numpy does not write"),
        ({"header_offset": 1 << 62}, "it lies at byte 4611686018427387904, where no member can be'; save it again"),
        ({"header_offset": 1 << 63}, "it lies at byte 9223372036854775808, where no member can be'; save it again"),
        ({"CRC": 0}, "Bad CRC-32"),
    ],
)
def test_what_cannot_be_unpacked_is_named_with_its_input(tmp_path: Path, said: Mapping[str, Any], refusal: str) -> None:
    path = archive(tmp_path / "a.npz", IMAGE, **said)
    with pytest.raises(SourceError, match=rf"^a\.npz: input 'image': .*{refusal}"):
        read_examples(path, PICTURE)


def test_a_damaged_stream_is_named_with_its_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^a\.npz: input 'image': cannot be unpacked: .*decompressing.*; save it"):
        read_examples(damage(archive(tmp_path / "a.npz", IMAGE)), PICTURE)


def test_an_archive_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", IMAGE, extract_version=99)
    with pytest.raises(SourceError, match=r"^a\.npz: cannot be unpacked: 'zip file version 9\.9"):
        read_examples(path, PICTURE)


def test_of_many_names_the_first_are_listed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for at in range(100):
            file.writestr(f"{at:02}" + "n" * 1000, b"")
    with pytest.raises(SourceError, match=r"found: '00nn.*, …$") as refused:
        read_examples(tmp_path / "a.npz", PICTURE)
    assert len(str(refused.value)) < 1000


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    content = np.empty((1, 3, 4, 4), object)
    content.fill(Bomb())
    with pytest.raises(SourceError, match="numbers of f32 are expected, found object"):
        read_examples(saved(tmp_path / "a.npy", content, allow_pickle=True), PICTURE)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SourceError):
        read_examples(tmp_path / "b.npy", PICTURE)


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    content = BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue()


@pytest.mark.parametrize("shape", [(1 << 20, 3, 4, 4), (0, 3, 4, 4)])
def test_a_claim_that_the_file_does_not_back_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.npy").write_bytes(header(shape) + b"x")
    with pytest.raises(SourceError, match=r"has \d+ bytes, found 1: save it again"):
        read_examples(tmp_path / "a.npy", PICTURE)


def test_a_type_of_many_fields_is_refused_in_a_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.zeros(3, [(f"field{at}", "<f4") for at in range(100)]))
    with pytest.raises(SourceError, match=r"^a\.npy: input 'image': numbers of f32 are expected, found void3200$"):
        read_examples(path, PICTURE)


@pytest.mark.parametrize("extent", [-1, 1 << 70])
def test_an_axis_that_no_array_has_is_refused(tmp_path: Path, extent: int) -> None:
    (tmp_path / "a.npy").write_bytes(header((0, extent)))
    with pytest.raises(SourceError, match=rf"an axis of '{extent:#x}' elements"):
        read_examples(tmp_path / "a.npy", {"x": Fact(ElementType.f32, None)})


def test_an_array_of_too_many_axes_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.ones((1,) * 64, np.float32))
    with pytest.raises(SourceError, match=r"^a\.npy: input 'x': .*64"):
        read_examples(path, {"x": Fact(ElementType.f32, None)})


def test_a_member_of_an_archive_is_read_as_far_as_it_claims(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", header((1, 3, 4, 4)) + bytes(1 << 20))
    with pytest.raises(SourceError, match="has 192 bytes, found 1048576"):
        read_examples(path, PICTURE)


@pytest.mark.parametrize("array", [np.zeros(16 << 20, np.uint8), np.zeros(16, "S1048576")], ids=["shape", "type"])
def test_what_the_header_tells_is_judged_before_anything_is_unpacked(tmp_path: Path, array: Array) -> None:
    path = archive(tmp_path / "a.npz", npy(array))
    with little_memory(), pytest.raises(SourceError, match=r"input 'image': .* (taken|expected), found"):
        read_examples(path, PICTURE)


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        (zipfile.ZIP_STORED, "cannot be unpacked: 'it ends too early'; save it again"),
        (zipfile.ZIP_DEFLATED, "50331648 bytes are claimed, 100 came: save it again"),
    ],
)
def test_memory_is_taken_for_what_comes_and_not_for_what_is_claimed(tmp_path: Path, how: int, refusal: str) -> None:
    start = header((1 << 20, 3, 4, 4), "|u1")
    size = len(start) + 48 * (1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", how) as file:
        file.writestr("image.npy", start + b"x" * 100)
        member = file.getinfo("image.npy")
        member.file_size, member.compress_size = size, size if how == zipfile.ZIP_STORED else member.compress_size
    bytes_in = {"image": Fact(ElementType.u8, (1, 3, 4, 4))}
    with little_memory(), pytest.raises(SourceError, match=rf"^a\.npz: input 'image': {refusal}"):
        read_examples(tmp_path / "a.npz", bytes_in)


def test_a_header_of_any_length_takes_no_memory(tmp_path: Path) -> None:
    start = b"\x93NUMPY\x02\x00" + (16 << 20).to_bytes(4, "little")
    path = archive(tmp_path / "a.npz", start + b" " * (16 << 20))
    with little_memory(), pytest.raises(SourceError, match=r"^a\.npz: input 'image': .*header"):
        read_examples(path, PICTURE)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"{[]: 1}",
        b"-" * 3000 + b"1",
        b"{'descr': ('<f4',), 'fortran_order': False, 'shape': (1, 3, 4, 4)}",
        b"{1: '<f4', 'fortran_order': False, 'shape': (1, 3, 4, 4)}",
        b"(" * 3000,
        b"\xff",
        b"'" + b"x" * 3000 + b"'",
    ],
    ids=["open", "unhashable", "recursive", "half a type", "mixed keys", "nested", "no text", "no dictionary"],
)
def test_a_header_that_numpy_would_not_write_is_refused_in_a_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(192))
    with pytest.raises(SourceError, match=r"^a\.npy: input 'image': its header is none of numpy's: .*save") as refused:
        read_examples(tmp_path / "a.npy", PICTURE)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("dtype", "refusal"),
    [
        (np.uint8, r"uint8\[3, 3, 4, 4\] takes 576 bytes as f32, 400 are left of 400 .*: divide the examples"),
        (np.float64, r"float64\[3, 3, 4, 4\] takes 1152 bytes as f32, 400 are left of 400 .*: divide the examples"),
    ],
)
def test_an_array_is_limited_as_it_lies_and_as_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type, refusal: str
) -> None:
    monkeypatch.setattr("modelbuild.runtime.examples.LARGEST", 400)
    with pytest.raises(SourceError, match=refusal):
        read_examples(saved(tmp_path / "a.npy", np.ones((3, 3, 4, 4), dtype)), PICTURE)


def test_the_arrays_of_a_file_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", ids=np.ones((4, 1, 7)), mask=np.ones((4, 1, 7)))
    monkeypatch.setattr("modelbuild.runtime.examples.LARGEST", 448)
    assert len(read_examples(tmp_path / "a.npz", SENTENCE)) == 4
    monkeypatch.setattr("modelbuild.runtime.examples.LARGEST", 447)
    with pytest.raises(SourceError, match=r"input 'mask': .* takes 224 bytes as i64, 223 are left of 447"):
        read_examples(tmp_path / "a.npz", SENTENCE)


@pytest.mark.parametrize("extent", [0, 1])
def test_examples_of_next_to_nothing_are_limited_in_number(tmp_path: Path, extent: int) -> None:
    path = archive(tmp_path / "a.npz", npy(np.zeros((5 << 20, 1, extent), np.uint8)), "ids.npy")
    archive(path, npy(np.zeros((5 << 20, 1, extent), np.uint8)), "mask.npy")
    with little_memory(), pytest.raises(SourceError, match="input 'ids': 5242880 examples, at most 1048576 are read"):
        read_examples(path, SENTENCE)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x09\x00"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.txt"])
def test_whatever_is_no_array_is_an_error_with_the_files_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"^{name}: "):
        read_examples(tmp_path / name, PICTURE)
