"""Pictures as inputs: the only module that imports Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.runtime.examples import fitting_type
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import Dim

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
        from PIL import Image, UnidentifiedImageError
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
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            width, height = (_closed(extents[axis], own) for axis, own in zip("WH", picture.size, strict=True))
            if max(picture.width * picture.height, width * height) > LARGEST:
                raise SourceError(f"{path.name}: {picture.width} x {picture.height} pixels; at most {LARGEST} are read")
            pixels = np.asarray(picture.convert(_MODES[channels]).resize((width, height), Image.Resampling.BILINEAR))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"{path.name}: is not a picture that can be read: {error}") from error
    named = {"N": 1, "H": height, "W": width, "C": channels}
    have = [axis for axis in "NHWC" if axis in extents]
    array = pixels.reshape([named[axis] for axis in have]).transpose([have.index(axis) for axis in layout])
    return fitting_type(array, fact.dtype)


def _closed(extent: Dim, own: int) -> int:
    return extent if isinstance(extent, int) else own
