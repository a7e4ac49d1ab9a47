from __future__ import annotations

import pickle
import zipfile
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


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    content = np.empty((1, 3, 4, 4), object)
    content.fill(Bomb())
    with pytest.raises(SourceError, match="an array of numbers is expected, found one of object"):
        read_examples(saved(tmp_path / "a.npy", content, allow_pickle=True), PICTURE)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SourceError):
        read_examples(tmp_path / "b.npy", PICTURE)


def test_a_claim_that_the_file_does_not_back_is_refused(tmp_path: Path) -> None:
    huge = BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 3, 4, 4)})
    (tmp_path / "a.npy").write_bytes(huge.getvalue())
    with pytest.raises(SourceError, match="bytes, found 0"):
        read_examples(tmp_path / "a.npy", PICTURE)


def test_a_member_of_an_archive_is_read_as_far_as_it_claims(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (48,)})
        archive.writestr("image.npy", header.getvalue() + bytes(1 << 20))
    with pytest.raises(SourceError, match="has 192 bytes, found 1048576"):
        read_examples(tmp_path / "a.npz", PICTURE)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x09\x00"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.txt"])
def test_whatever_is_no_array_is_an_error_with_the_files_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"^{name}: "):
        read_examples(tmp_path / name, PICTURE)
