"""What becomes of weights that take a scale in."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.graph.known import EAGER_BYTES
from modelbuild.passes.fuse.scale import scale_axes
from modelbuild.tensor.derived import Reshaped, Scaled
from modelbuild.tensor.storage import InMemory


def ones(*shape: int) -> InMemory:
    return InMemory(np.ones(shape, np.float32))


@pytest.mark.parametrize("axes", [1, 2])
def test_small_weights_are_scaled_at_once(axes: int) -> None:
    factors = InMemory(np.arange(2**axes, dtype=np.float32))
    scaled = scale_axes(ones(2, 2, 3), factors, 0, axes)
    assert isinstance(scaled, InMemory)
    assert scaled.array[..., 0].reshape(2**axes, -1)[:, 0].tolist() == list(range(2**axes))


@pytest.mark.parametrize(("axes", "kind"), [(1, Scaled), (2, Reshaped)])
def test_large_weights_are_described(axes: int, kind: type) -> None:
    weights = ones(2, 2, EAGER_BYTES // 8)
    assert isinstance(scale_axes(weights, ones(2**axes), 0, axes), kind)
