"""Tensors: their bytes, wherever they lie and however they are derived."""

from __future__ import annotations

import hashlib
import itertools
import pickle
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

from modelbuild.errors import SourceError
from modelbuild.tensor import derived
from modelbuild.tensor.cast import BeyondRange
from modelbuild.tensor.derived import Cast, Reshaped, Scaled, Transposed
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.pieces import PIECE
from modelbuild.tensor.quantized import Quantized
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

if TYPE_CHECKING:
    from pathlib import Path

E = ElementType
RNG = np.random.default_rng(7)


def content(tensor: Tensor, limit: int = PIECE) -> bytes:
    return b"".join(bytes(piece) for piece in tensor.chunks(limit))


def mapped(folder: Path, array: Array, skip: int = 3) -> Mapped:
    """Write the array's own bytes behind ``skip`` others."""
    file = folder / "weights"
    file.write_bytes(b"#" * skip + array.tobytes())
    return Mapped(file, skip, E.of(array.dtype), array.shape)


def test_in_memory_content_is_made_row_major_and_little_endian() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    assert content(InMemory(array)) == np.array([[0, 3], [1, 4], [2, 5]], "<i4").tobytes()


def test_a_scalar_keeps_its_empty_shape() -> None:
    tensor = InMemory(np.array(2.5, np.float32))
    assert (tensor.shape, tensor.size, tensor.nbytes, content(tensor)) == ((), 1, 4, b"\x00\x00\x20\x40")


def test_four_bit_elements_lie_low_nibble_first() -> None:
    tensor = InMemory(np.array([1, 2, 3, -8, -1], ml_dtypes.int4))
    assert content(tensor) == b"\x21\x83\x0f"
    assert tensor.nbytes == 3


def test_two_bit_elements_lie_low_bits_first() -> None:
    assert content(InMemory(np.array([0, 1, 2, 3, 1], ml_dtypes.uint2))) == b"\xe4\x01"


def test_one_bit_elements_lie_high_bit_first() -> None:
    assert content(InMemory(np.array([1, 0, 1, 1], ml_dtypes.uint1))) == b"\xb0"


def test_strings_are_counted_ended_and_joined() -> None:
    tensor = InMemory(np.array(["ab", "", "xyzw"]))
    assert content(tensor) == b"".join(n.to_bytes(4, "little") for n in (3, 0, 2, 2, 6)) + b"abxyzw"
    assert tensor.nbytes == 26


def test_a_string_tensor_of_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="holds str only"):
        InMemory(np.array([1, "a"], object))


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.int4])
def test_an_empty_tensor_has_no_bytes(dtype: type) -> None:
    tensor = InMemory(np.empty((0, 3), dtype))
    assert (tensor.nbytes, content(tensor), tensor.digest) == (0, b"", hashlib.sha256().hexdigest())


def test_no_strings_still_have_a_count_and_an_end() -> None:
    assert content(InMemory(np.empty((0, 3), object))) == bytes(8)


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "i64", "boolean", "u1", "u2", "u4", "i4", "f8e4m3", "f4e2m1"])
@pytest.mark.parametrize("limit", [8, 24, 1 << 20])
def test_bytes_of_a_file_read_back_as_the_array_they_came_from(tmp_path: Path, kind: str, limit: int) -> None:
    array = RNG.integers(0, 2, (3, 37)).astype(E(kind).numpy)
    packed = content(InMemory(array), limit)
    (tmp_path / "weights").write_bytes(b"###" + packed)
    tensor = Mapped(tmp_path / "weights", 3, E(kind), array.shape)
    assert content(tensor, limit) == packed
    assert tensor.numpy().tobytes() == array.tobytes()
    assert b"".join(piece.tobytes() for piece in tensor.arrays(limit)) == array.tobytes()


def test_types_that_numpy_lacks_still_have_bytes(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(range(6)))
    tensor = Mapped(tmp_path / "w", 0, E.u6, (2, 4))
    assert content(tensor) == bytes(range(6))
    with pytest.raises(TypeError, match="no type for u6"):
        tensor.numpy()


def test_an_array_given_out_cannot_be_written(tmp_path: Path) -> None:
    for tensor in (InMemory(np.ones(3)), mapped(tmp_path, np.ones(3)), Reshaped(InMemory(np.ones(3)), (3, 1))):
        assert not tensor.numpy().flags.writeable


def test_the_digest_is_of_the_packed_bytes() -> None:
    assert InMemory(np.array([1, 2], ml_dtypes.int4)).digest == hashlib.sha256(b"\x21").hexdigest()


def test_a_file_that_is_too_short_is_named_with_what_was_wanted(tmp_path: Path) -> None:
    tensor = mapped(tmp_path, np.ones(100, np.float32))
    with tensor.path.open("r+b") as file:
        file.truncate(203)
    with pytest.raises(SourceError, match=r"weights: the file ends at 203, but 400 bytes were expected at 3"):
        content(tensor)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone: cannot be opened: No such file"):
        content(Mapped(tmp_path / "gone", 0, E.f32, (1,)))


def test_pieces_share_two_buffers(tmp_path: Path) -> None:
    tensor = mapped(tmp_path, np.arange(100, dtype=np.int32))
    places = {np.frombuffer(piece, np.uint8).ctypes.data for piece in tensor.chunks(40)}
    assert len(places) == 2


def test_a_piece_stays_as_it_is_while_the_next_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "SLAB", 400)
    source = mapped(tmp_path, RNG.standard_normal((30, 10)).astype(np.float32))
    turned = Transposed(source, (1, 0))
    factors = InMemory(np.ones(30, np.float32))
    scales = InMemory(np.ones((30, 1), np.float32))
    for tensor in (source, Cast(source, E.f16), Scaled(source, factors, 0), Quantized(source, E.i8, scales), turned):
        for (piece, as_it_was), _ in itertools.pairwise((piece, bytes(piece)) for piece in tensor.chunks(80)):
            assert bytes(piece) == as_it_was, tensor


def test_file_ranges_are_equal_by_place_without_being_read(tmp_path: Path) -> None:
    here, there = Mapped(tmp_path / "a", 0, E.f32, (2,)), Mapped(tmp_path / "a", 8, E.f32, (2,))
    assert here == Mapped(tmp_path / "a", 0, E.f32, (2,))
    assert here != there
    assert Cast(here, E.f16) == Cast(here, E.f16) != Cast(here, E.bf16)
    assert len({Cast(here, E.f16), Cast(here, E.f16), Cast(there, E.f16)}) == 2


def test_arrays_are_equal_by_type_shape_and_bits() -> None:
    nan = InMemory(np.array([np.nan]))
    assert nan == InMemory(np.array([np.nan]))
    assert hash(nan) == hash(InMemory(np.array([np.nan])))
    assert InMemory(np.array([0.0])) != InMemory(np.array([-0.0]))
    assert InMemory(np.array([[1]])) != InMemory(np.array([1]))
    assert InMemory(np.array([1], np.int32)) != InMemory(np.array([1], np.uint32))
    assert InMemory(np.array(["a", "b"])) == InMemory(np.array(["a", "b"], object))


def test_a_known_digest_does_not_enter_equality() -> None:
    one, other = InMemory(np.ones(3)), InMemory(np.ones(3))
    assert one.digest
    assert one == other


def test_tensors_survive_pickling() -> None:
    tensor = Cast(Transposed(InMemory(np.arange(6.0).reshape(2, 3)), (1, 0)), E.f16)
    assert tensor.digest == pickle.loads(pickle.dumps(tensor)).digest


@pytest.mark.parametrize("slab", [64, 400, 1 << 20])
@pytest.mark.parametrize("kind", ["i32", "u4"])
def test_every_transposition_is_numpys(monkeypatch: pytest.MonkeyPatch, slab: int, kind: str) -> None:
    monkeypatch.setattr(derived, "SLAB", slab)
    array = RNG.integers(0, 16, (3, 1, 5, 7, 2)).astype(E(kind).numpy)
    source = Reshaped(InMemory(array.reshape(-1)), array.shape)
    for order in itertools.permutations(range(5)):
        tensor = Transposed(source, order)
        assert tensor.shape == array.transpose(order).shape
        assert content(tensor, 40) == content(InMemory(array.transpose(order)))


@pytest.mark.parametrize("kind", ["f32", "bf16", "u4", "i4", "boolean"])
@pytest.mark.parametrize("shape", [(3, 1, 5), (4, 7), (5,), (), (2, 0, 3)])
def test_what_fits_into_a_piece_is_transposed_as_numpy_does(kind: str, shape: tuple[int, ...]) -> None:
    array = RNG.integers(0, 2, shape).astype(E(kind).numpy)
    for order in itertools.permutations(range(len(shape))):
        assert content(Transposed(InMemory(array), order)) == content(InMemory(array.transpose(order)))


@pytest.mark.parametrize("piece", [8, 1 << 20])
def test_a_transposed_array_is_numpys(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(derived, "PIECE", piece)
    array = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    turned = Transposed(InMemory(array), (2, 0, 1)).numpy()
    assert (turned == array.transpose(2, 0, 1)).all()
    assert turned.flags.c_contiguous
    assert not turned.flags.writeable


def test_transposing_reads_sources_whose_pieces_cut_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor.arrays, "__defaults__", (40,))
    array = RNG.integers(0, 99, (4, 3, 7)).astype(np.int32)
    for order in itertools.permutations(range(3)):
        assert content(Transposed(mapped(tmp_path, array), order), 40) == array.transpose(order).tobytes()


def test_scaling_multiplies_along_its_axis(tmp_path: Path) -> None:
    array = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    for axis, extent in enumerate(array.shape):
        factors = RNG.standard_normal(extent).astype(np.float32)
        scaled = Scaled(mapped(tmp_path, array), InMemory(factors), axis)
        assert content(scaled, 56) == (array * np.expand_dims(factors, [a for a in range(3) if a != axis])).tobytes()


def test_a_scaled_nan_is_the_positive_quiet_one() -> None:
    nans = np.array([0xFFC12345, 0x7F800000], np.uint32).view(np.float32)
    scaled = Scaled(InMemory(nans), InMemory(np.array([1, 0], np.float32)), 0)
    assert scaled.numpy().view(np.uint32).tolist() == [0x7FC00000, 0x7FC00000]
    assert content(scaled) == scaled.numpy().tobytes()


def test_scaling_at_once_gives_the_bytes_of_scaling_in_pieces() -> None:
    array = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    for axis, extent in enumerate(array.shape):
        scaled = Scaled(InMemory(array), InMemory(RNG.standard_normal(extent).astype(np.float32)), axis)
        assert scaled.numpy().tobytes() == content(scaled, 56)


@pytest.mark.parametrize(("kind", "to"), [("f32", "f16"), ("f32", "u4"), ("f64", "bf16"), ("u4", "f32")])
def test_casting_at_once_gives_the_bytes_of_casting_in_pieces(kind: str, to: str) -> None:
    cast = Cast(InMemory(RNG.integers(0, 9, (3, 5, 7)).astype(E(kind).numpy)), E(to))
    assert cast.octets() == content(cast, 8)
    assert cast.numpy().shape == (3, 5, 7)


def test_a_strict_cast_at_once_meets_what_does_not_fit() -> None:
    cast = Cast(InMemory(np.array([1, 1e5], np.float32)), E.f16, strict=True)
    with pytest.raises(BeyondRange):
        cast.octets()


@pytest.mark.parametrize("kind", ["f32", "u4", "u1", "boolean"])
def test_all_bytes_at_once_are_those_of_the_pieces(kind: str) -> None:
    tensor = InMemory(RNG.integers(0, 2, (3, 5, 7)).astype(E(kind).numpy))
    assert tensor.octets() == content(tensor, 8) == Reshaped(tensor, (105,)).octets()


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    ones = InMemory(np.ones((2, 3), np.float32))
    for make in (
        lambda: Reshaped(ones, (7,)),
        lambda: Reshaped(ones, (-2, -3)),
        lambda: Transposed(ones, (0, 0)),
        lambda: Scaled(ones, InMemory(np.ones(2, np.float32)), 1),
        lambda: Scaled(ones, InMemory(np.ones(3, np.float16)), 1),
        lambda: Cast(ones, E.string),
        lambda: Cast(ones, E.i8, saturate=False),
        lambda: Mapped(tmp_path, 0, E.string, (1,)),
    ):
        with pytest.raises(ValueError, match=r"cannot|does not|do not|depends|no fixed"):
            make()


def test_a_file_is_cast_in_a_few_pieces_of_memory(tmp_path: Path) -> None:
    import tracemalloc

    tensor = Cast(mapped(tmp_path, np.ones(16 << 20, np.float32)), E.f16)
    assert next(tensor.chunks())  # imports are not counted
    tracemalloc.start()
    assert sum(len(piece) for piece in tensor.chunks()) == 32 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * PIECE
