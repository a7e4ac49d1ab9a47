"""Examples to calibrate on where a model came with one: what lies around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

SAMPLES: Final = 24


def inputs_of(source: Path) -> dict[str, Any]:
    """What a model of the corpus came with."""
    with np.load(source / "io_ref.npz") as found:
        return {name.removeprefix("in:"): found[name] for name in found.files if name.startswith("in:")}


def around(inputs: dict[str, Any]) -> dict[str, Any]:
    """Each input itself, and with 0.2 of its deviation as noise on it; integers are what they are."""
    rng = np.random.default_rng(0)

    def noisy(array: Any) -> Any:
        if array.dtype.kind != "f":
            return np.stack([array] * SAMPLES)
        noise = rng.standard_normal((SAMPLES, *array.shape)) * (array.std() or 1) * 0.2
        noise[0] = 0
        return (array + noise).astype(array.dtype)

    return {name: noisy(array) for name, array in inputs.items()}
