"""Pictures as inputs: the only module that imports Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.runtime.examples import fitting_type
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

PICTURES: Final = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
LARGEST: Final = 1 << 26
"""The pixels of a picture that is still read."""

_FORMATS: Final = ("BMP", "JPEG", "PNG", "WEBP")
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


def read_picture(path: Path, fact: Fact, layout: str) -> Array:
    """The picture as an input takes it: its axes, size and type; numbers from 0 to 255, red first.

    ``layout`` is a letter an axis: N, C, H and W in any order. A size that the input leaves open is the picture's own.
    """
    try:
        from PIL import Image  # noqa: F401  what else is wrong would be told in vain
    except ImportError as error:
        raise EnvironmentTrouble("Pillow is not installed: pip install 'modelbuild[nncf]'") from error
    extents: dict[str, Dim] = dict(zip(layout, fact.shape or (), strict=False))
    if fact.shape is None or len(layout) != len(fact.shape) or not {"H", "W"} <= extents.keys() <= {"N", "C", "H", "W"}:
        raise SourceError(
            f"{path.name}: a picture needs an input with the axes H and W, this one is {fact} with "
            f"{f'the layout {layout}' if layout else 'no layout'}; say it in the manifest, as in 'layout: NCHW'"
        )
    channels = extents.get("C", 1)
    if not isinstance(channels, int) or channels not in _MODES:
        raise SourceError(f"{path.name}: a picture has 1, 3 or 4 channels, the input has {channels}")
    pixels = _pixels(path, extents["W"], extents["H"], _MODES[channels])
    named = {"N": 1, "H": pixels.shape[0], "W": pixels.shape[1], "C": channels}
    have = [axis for axis in "NHWC" if axis in extents]
    array = pixels.reshape([named[axis] for axis in have]).transpose([have.index(axis) for axis in layout])
    try:
        return fitting_type(array, fact.dtype)
    except ValueError as error:
        raise SourceError(f"{path.name}: {error}") from error


def _pixels(path: Path, width: Dim, height: Dim, mode: str) -> Array:
    """The picture in this size: rows, columns and, but for grey ones, channels."""
    from PIL import Image

    try:
        with _opened(path) as picture:
            size = (_closed(width, picture.width), _closed(height, picture.height))
            _expect_few_pixels(picture.size, size)
            return np.asarray(picture.convert(mode).resize(size, Image.Resampling.BILINEAR))
    except Image.DecompressionBombError as error:
        raise SourceError(f"{path.name}: at most {LARGEST} pixels are read, scale it down: {error}") from error
    except Exception as error:  # Pillow hands on what it meets, as the MemoryError of a length that a chunk claims
        why = str(error) or type(error).__name__
        raise SourceError(f"{path.name}: is not a picture that can be read: {why}") from error


def _opened(path: Path) -> ImageFile:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is about more pixels than are read anyhow
        return Image.open(path, formats=_FORMATS)


def _expect_few_pixels(own: tuple[int, int], wanted: tuple[int, int]) -> None:
    """On the way from one to the other lies a picture of the new width and the old height: rows are resized first."""
    from PIL import Image

    for width, height in (own, wanted, (wanted[0], own[1])):
        if width * height > LARGEST:
            way = "{} x {} to {} x {}".format(*own, *wanted)
            raise Image.DecompressionBombError(f"{width} x {height} pixels on the way from {way}")


def _closed(extent: Dim, own: int) -> int:
    return extent if isinstance(extent, int) else own
