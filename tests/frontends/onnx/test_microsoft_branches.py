"""Streams in branches are here what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check

from modelbuild.tensor.dtype import Array

B, T, C, H = 2, 3, 4, 8
"""Batch, tokens, branches, features."""


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


STREAMS, FLAT, BLOCK = data(B, T, C, H), data(B, T, C * H), data(B, T, H)


def use(op: str, *inputs: Array | None, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> Use:
    return Use(op, MICROSOFT, {f"x{i}": x for i, x in enumerate(inputs)}, attributes, outputs)


def cases() -> Iterator[Use]:
    yield use("BranchwiseRMSNorm", STREAMS)
    yield use("BranchwiseRMSNorm", STREAMS, data(C, H), epsilon=0.1)
    yield use("BranchwiseRMSNorm", FLAT, data(C * H), num_branches=C)
    yield use("BranchwiseRMSNorm", FLAT, data(H), num_branches=C)
    for gates in (data(B, T, C), data(B, T, C, 1), data(B, T, C, H)):
        yield use("HyperConnectionPreMix", STREAMS, gates, reduction_scale=0.5)
        yield use("HyperConnectionPreMix", FLAT, gates, num_branches=C)
        yield use("HyperConnectionPostMix", STREAMS, BLOCK, gates)
        yield use("HyperConnectionPostMix", FLAT, BLOCK, gates, data(B, T, C, C), num_branches=C)
    yield use("HyperConnectionPreMix", FLAT, data(B, T, C * H), num_branches=C)
    engram = (STREAMS, data(B, T, C, H) + 1, BLOCK, data(C, H), data(C, H) + 1)
    yield use("EngramGate", *engram)
    yield use("EngramGate", *engram, data(C, H) + 2, outputs=("y", "normed"), epsilon=0.01)


CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=[f"{u.op}-{i}" for i, u in enumerate(CASES)])
def test_branches_are_what_onnxruntime_computes(case: Use, tmp_path: Path) -> None:
    check(case, tmp_path)
