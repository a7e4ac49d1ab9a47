from __future__ import annotations

import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.runtime.samples import choose
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Expr

FACT = {"x": Fact(ElementType.f32, (1, 2))}


def numbered(folder: Path, *counts: int) -> dict[str, Path]:
    """Files of so many examples, each of which holds its own number."""
    made, first = {}, 0
    for at, count in enumerate(counts):
        path = folder / f"{at}.npy"
        np.save(path, np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], 2, axis=1))
        made[path.name], first = path, first + count
    return made


def numbers(folder: Path, files: dict[str, Path], samples: int, seed: int = 0) -> list[int]:
    return [int(example["x"][0, 0]) for example in choose(files, FACT, {}, samples=samples, seed=seed)]


def test_all_that_there_are_is_taken_once_where_more_are_asked_for(tmp_path: Path) -> None:
    assert sorted(numbers(tmp_path, numbered(tmp_path, 3, 4), samples=100)) == list(range(7))


def test_a_seed_always_chooses_the_same(tmp_path: Path) -> None:
    files = numbered(tmp_path, 5, 5, 5)
    assert numbers(tmp_path, files, 4) == numbers(tmp_path, dict(reversed(files.items())), 4)


def test_another_seed_chooses_others(tmp_path: Path) -> None:
    files = numbered(tmp_path, 40)
    assert numbers(tmp_path, files, 5, seed=0) != numbers(tmp_path, files, 5, seed=1)


def test_a_picture_needs_a_single_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.png: a picture is for one input, the model has 'x', 'y'"):
        choose({"a": tmp_path / "a.png"}, FACT | {"y": FACT["x"]}, {}, samples=1, seed=0)


def test_without_pillow_pictures_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(EnvironmentTrouble, match=r"pip install 'modelbuild\[nncf\]'"):
        choose({"a": tmp_path / "a.png"}, FACT, {}, samples=1, seed=0)


def saved(path: Path, width: int, height: int) -> Path:
    from PIL import Image

    Image.new("RGB", (width, height), (255, 128, 0)).save(path)
    return path


def claim(path: Path, side: int) -> None:
    """Have a header say that the picture has ``side`` rows and columns."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".bmp":
        content[18:26] = struct.pack("<2i", side, side)
    else:
        content[16:24] = struct.pack(">2i", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


class TestPictures:
    pytestmark = pytest.mark.skipif(find_spec("PIL") is None, reason="needs Pillow")

    @pytest.fixture
    def red(self, tmp_path: Path) -> Path:
        return saved(tmp_path / "red.png", 8, 4)

    def read(self, path: Path, dtype: ElementType, layout: str, *shape: int | str) -> Array:
        fact = Fact(dtype, tuple(Expr.symbol(e) if isinstance(e, str) else e for e in shape))
        (found,) = choose({"a": path}, {"x": fact}, {"x": layout}, samples=1, seed=0)
        return found["x"]

    def test_a_picture_has_the_axes_the_size_and_the_type_of_the_input(self, red: Path) -> None:
        found = self.read(red, ElementType.f32, "NCHW", 1, 3, 6, 5)
        assert (found.shape, found.dtype.name) == ((1, 3, 6, 5), "float32")
        assert found[0, :, 0, 0].tolist() == [255, 128, 0]
        assert self.read(red, ElementType.u8, "HWC", 6, 5, 3)[0, 0].tolist() == [255, 128, 0]

    def test_where_the_input_leaves_its_size_open_the_picture_keeps_its_own(self, red: Path) -> None:
        assert self.read(red, ElementType.u8, "NHWC", "n", "h", "w", 1).shape == (1, 4, 8, 1)

    def test_an_input_without_a_layout_is_told_to_have_one(self, red: Path) -> None:
        with pytest.raises(SourceError, match=r"red\.png: a picture needs an input with the axes H and W.*no layout"):
            self.read(red, ElementType.u8, "", 1, 3, 6, 5)

    def test_what_is_no_picture_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "no.jpg").write_bytes(b"GIF89a")
        with pytest.raises(SourceError, match=r"no\.jpg: is not a picture that can be read"):
            self.read(tmp_path / "no.jpg", ElementType.u8, "NHWC", 1, 4, 4, 3)

    @pytest.mark.parametrize(
        ("side", "found"),
        [(9000, "9000 x 9000 pixels"), (10000, "10000 x 10000 pixels"), (20000, r"Image size \(400000000 pixels\)")],
        ids=["ours", "Pillow's warning", "Pillow's error"],
    )
    @pytest.mark.parametrize("name", ["a.bmp", "a.png"])
    def test_a_header_of_many_pixels_is_refused(self, tmp_path: Path, name: str, side: int, found: str) -> None:
        path = saved(tmp_path / name, 4, 4)
        claim(path, side)
        with pytest.raises(SourceError, match=f"^{name}: at most 67108864 pixels are read, scale it down: {found}"):
            self.read(path, ElementType.u8, "NHWC", 1, 4, 4, 3)

    def test_a_picture_that_is_large_on_its_way_is_refused(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", 1, 1 << 17)
        with pytest.raises(SourceError, match=r"600 x 131072 pixels on the way from 1 x 131072 to 600 x 4$"):
            self.read(path, ElementType.u8, "NHWC", 1, 4, 600, 3)

    def test_a_length_that_takes_more_memory_than_there_is_is_named(
        self, red: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(_: object) -> None:
            raise MemoryError

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_end", load)
        with pytest.raises(SourceError, match=r"^red\.png: is not a picture that can be read: MemoryError"):
            self.read(red, ElementType.u8, "NHWC", 1, 4, 4, 3)

    def test_pixels_that_the_input_cannot_hold_are_named(self, red: Path) -> None:
        with pytest.raises(SourceError, match=r"^red\.png: the numbers of uint8 do not fit into i8"):
            self.read(red, ElementType.i8, "NHWC", 1, 4, 4, 3)
