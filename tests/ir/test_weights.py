from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelbuild.errors import BrokenInvariant
from modelbuild.ir.weights import SHORT, WORTH_A_THREAD, Place, Weights
from modelbuild.tensor.derived import Cast
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.pieces import PIECE
from modelbuild.tensor.storage import InMemory, Mapped, Tensor


@pytest.fixture
def weights(tmp_path: Path) -> Iterator[Weights]:
    with (tmp_path / "m.bin").open("wb+") as file, Weights(file, digest=False) as made:
        yield made


def tensor(array: Array) -> InMemory:
    return InMemory(array)


def content(weights: Weights, place: Place) -> bytes:
    weights.finish()
    return Path(weights._file.name).read_bytes()[place.offset : place.offset + place.size]


def long_noise(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(PIECE // 2, np.float32)


def test_constants_lie_back_to_back_without_alignment(weights: Weights) -> None:
    first = weights.place(tensor(np.array([1, 2, 3], np.uint8)))
    second = weights.place(tensor(np.array([1.5], np.float32)))
    assert (first, second) == (Place(0, 3), Place(3, 4))
    assert content(weights, second) == np.float32(1.5).tobytes()


def test_short_and_long_pieces_keep_their_order(weights: Weights) -> None:
    rng = np.random.default_rng(0)
    sizes = [WORTH_A_THREAD // 3 + place for place in range(10)] + [WORTH_A_THREAD, 1000, 3 * WORTH_A_THREAD, 2000]
    arrays = [rng.integers(0, 256, size, np.uint8) for size in sizes]
    assert [weights.place(tensor(array)).offset for array in arrays] == np.cumsum([0, *sizes[:-1]]).tolist()
    assert content(weights, Place(0, sum(sizes))) == b"".join(map(bytes, arrays))


@pytest.mark.parametrize("count", [2, SHORT, PIECE])
def test_equal_bytes_are_written_once_whatever_their_type(weights: Weights, count: int) -> None:
    first = weights.place(tensor(np.arange(count, dtype=np.int32)))
    second = weights.place(tensor(np.arange(count, dtype=np.int32).view(np.float16).reshape(2, -1)))
    assert first == second
    assert weights.size == 4 * count


def test_content_that_is_mapped_and_content_in_memory_are_shared(weights: Weights, tmp_path: Path) -> None:
    noise = long_noise()
    (tmp_path / "raw").write_bytes(noise.tobytes())
    mapped = Mapped(tmp_path / "raw", 0, ElementType.f32, noise.shape)
    assert weights.place(tensor(noise)) == weights.place(mapped)
    half = weights.place(tensor(noise.astype(np.float16)))
    assert weights.place(Cast(mapped, ElementType.f16)) == half
    assert content(weights, half) == noise.astype(np.float16).tobytes()


def test_tensors_that_begin_alike_are_kept_apart(weights: Weights) -> None:
    noise, other = long_noise(), long_noise()
    other[-1] += 1
    places = [weights.place(tensor(a)) for a in (noise, other, other.copy(), noise.copy())]
    assert places[0] != places[1]
    assert places[2:] == [places[1], places[0]]
    assert content(weights, places[1]) == other.tobytes()


def test_a_collision_of_hashes_is_not_taken_for_equal_content(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelbuild.ir.weights._hash", lambda _: b"")
    noise, other = long_noise(), long_noise()
    other[-1] += 1
    assert weights.place(tensor(noise)) != weights.place(tensor(other))


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_a_tensor_without_elements_takes_one_zero_byte(weights: Weights, shape: tuple[int, ...]) -> None:
    place = weights.place(tensor(np.empty(shape, np.float32)))
    assert place.size == 1
    assert content(weights, place) == b"\0"


def test_a_tensor_that_gives_fewer_bytes_than_it_says_is_a_bug(weights: Weights) -> None:
    class Liar(InMemory):
        def chunks(self, limit: int = PIECE) -> Iterator[memoryview]:
            yield memoryview(bytes(SHORT + 1))[:limit]

    with pytest.raises(BrokenInvariant, match=f"a tensor of {8 * SHORT} bytes gave {SHORT + 1}"):
        weights.place(Liar(np.zeros(SHORT)))


def test_short_liars_are_found_too(weights: Weights) -> None:
    class Liar(InMemory):
        def octets(self) -> bytes:
            return b"abc"

    with pytest.raises(BrokenInvariant, match="a tensor of 8 bytes gave 3"):
        weights.place(Liar(np.zeros(1)))


def test_a_tensor_seen_before_is_not_read_again(weights: Weights, tmp_path: Path) -> None:
    noise = long_noise()
    (tmp_path / "raw").write_bytes(noise.tobytes())
    mapped: Tensor = Mapped(tmp_path / "raw", 0, ElementType.f32, noise.shape)
    place = weights.place(mapped)
    (tmp_path / "raw").unlink()
    assert weights.place(mapped) == place


def test_blocks_are_claimed_before_they_are_written(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed, taken = set[int](), list[int]()
    claim, put = os.posix_fallocate, os.pwrite

    def noting_claim(descriptor: int, offset: int, size: int) -> None:
        claimed.update(range(offset, offset + size))
        claim(descriptor, offset, size)

    def noting_put(descriptor: int, piece: memoryview, offset: int) -> int:
        taken.extend(i for i in range(offset, offset + len(piece)) if i not in claimed)
        return put(descriptor, piece, offset)

    monkeypatch.setattr(os, "posix_fallocate", noting_claim)
    monkeypatch.setattr(os, "pwrite", noting_put)
    for size in (5, WORTH_A_THREAD - 1, 7, WORTH_A_THREAD + 9, 3):
        weights.place(tensor(np.random.default_rng(size).integers(0, 256, size, np.uint8)))
    weights.finish()
    assert not taken
    assert len(claimed) == weights.size


def test_what_goes_wrong_while_a_piece_is_written_is_raised(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, piece: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    weights.place(tensor(np.zeros(WORTH_A_THREAD, np.uint8)))
    with pytest.raises(OSError, match="No space left"):
        weights.finish()
