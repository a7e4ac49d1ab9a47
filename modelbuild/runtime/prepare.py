"""What a source model has to be fed with for an artifact that prepares its inputs itself: said once more, in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.given import array_of
from modelbuild.tensor.layout import channel_axis, inverse, order

if TYPE_CHECKING:
    from modelbuild.manifest.model import InputSpec
    from modelbuild.tensor.shape import Shape


def delivered(shape: Shape, spec: InputSpec | None) -> Shape:
    """The axes of a source's input in the order in which the artifact has them."""
    return tuple(shape[axis] for axis in _order(spec, len(shape)))


def for_source(
    feeds: Mapping[str, Array], specs: Mapping[str, InputSpec], source: Mapping[str, Fact]
) -> dict[str, Array]:
    """The numbers of ``feeds``, prepared as ``specs`` say, in the source's own types, and its frozen inputs."""
    made = {name: _prepared(array, specs.get(name), source[name]) for name, array in feeds.items()}
    for name, spec in specs.items():
        if spec.value is not None:
            made[name] = array_of(spec.value, source[name].dtype, spec.shape or source[name].shape or ())
    return made


def _prepared(array: Array, spec: InputSpec | None, source: Fact) -> Array:
    array = array.astype(source.dtype.numpy)
    if spec is None:
        return array
    array = array.transpose(inverse(_order(spec, array.ndim)))
    if spec.reverse_channels:
        array = np.flip(array, channel_axis(array.shape, spec.layout, 3))
    if spec.mean:
        array = array - _along_channels(spec.mean, array, spec.layout)
    if spec.scale:
        array = array / _along_channels(spec.scale, array, spec.layout)
    return np.ascontiguousarray(array)


def _order(spec: InputSpec | None, rank: int) -> Sequence[int]:
    if spec is None or spec.layout is None or spec.target_layout is None:
        return range(rank)
    return order(spec.layout, spec.target_layout, rank)


def _along_channels(numbers: Sequence[float], array: Array, layout: str | None) -> Array:
    content: Array = np.array(numbers, array.dtype)
    if content.size == 1:
        return content
    axis = channel_axis(array.shape, layout, content.size)
    return content.reshape([content.size if i == axis else 1 for i in range(array.ndim)])
