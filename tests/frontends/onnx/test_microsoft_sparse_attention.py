"""Attention that sees some blocks of the keys only is here what onnxruntime computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, compare

from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.tensor.dtype import Array

B, H, G, D, BLOCK, ROOM = 2, 2, 4, 16, 16, 64
"""Batch, heads of keys, of queries, size of a head, tokens of a block, of the cache."""
ROWS = np.array([[0, 1, 3, 5, 8], [0, 1, 3, 6, 9]], np.int32)
COLUMNS = np.array([[0, 0, 1, 1, 2, 1, 2, 3, -1], [0, 0, 1, 0, 1, 2, 0, 2, 3]], np.int32)


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def sparse(length: int, lengths: list[int], *, layouts: int = 2, packed: bool = False, **how: Any) -> Use:
    q, k, v = data(B, length, G * D), data(B, length, H * D), data(B, length, H * D) + 1
    full = np.arange(ROOM)[:, None] < np.array(lengths)[:, None, None, None] - length
    angles = np.arange(ROOM)[:, None] / np.arange(1.0, 9.0)
    inputs = {
        "q": np.concatenate([q, k, v], 2) if packed else q, "k": None if packed else k, "v": None if packed else v,
        "past_k": data(B, H, ROOM, D) * full, "past_v": (data(B, H, ROOM, D) + 1) * full,
        "rows": ROWS[:layouts], "columns": COLUMNS[:layouts], "total": np.array([max(lengths)], np.int32),
        "lengths": np.array(lengths, np.int32), "cos": np.cos(angles).astype(np.float32),
        "sin": np.sin(angles).astype(np.float32),
    }  # fmt: skip
    fields = {"fixed": ("rows", "columns"), **{n: how.pop(n) for n in ("fixed", "symbolic") if n in how}}
    attributes = {"num_heads": G, "kv_num_heads": H, "sparse_block_size": BLOCK, **how}
    return Use("SparseAttention", MICROSOFT, inputs, attributes, ("y", "pk", "pv"), loose=1e-4, **fields)


def by_onnxruntime(use: Use, folder: Path) -> list[Array]:
    """Its caches are changed in place: past and present have to be the same memory."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(use.save(folder)), providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    shared = {"past_k": "pk", "past_v": "pv"}
    for name, array in use.feeds.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array.copy())
        binding.bind_ortvalue_input(name, value)
        if name in shared:
            binding.bind_ortvalue_output(shared[name], value)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    *present, y = binding.copy_outputs_to_cpu()
    return [y, *present]


@pytest.mark.parametrize(
    "use",
    [
        sparse(1, [40, 40]),
        sparse(1, [40, 40], symbolic=True),
        sparse(1, [64, 64], layouts=1),
        sparse(1, [23, 23], do_rotary=1),
        sparse(1, [40, 40], do_rotary=1, rotary_interleaved=1, scale=0.3),
        sparse(1, [50, 50], packed=True),
        sparse(52, [52, 52]),
        sparse(52, [52, 52], do_rotary=1),
    ],
)
def test_some_blocks_are_seen(use: Use, tmp_path: Path) -> None:
    compare(use, by_onnxruntime(use, tmp_path), tmp_path)


def test_sequences_of_a_batch_may_differ_in_length(tmp_path: Path) -> None:
    """onnxruntime reads on behind the end of the shorter one; each by itself it gets right."""
    longer, shorter = (by_onnxruntime(sparse(1, [n, n]), tmp_path) for n in (40, 23))
    wanted = [np.stack([a[0], b[1]]) for a, b in zip(longer, shorter, strict=True)]
    compare(sparse(1, [40, 23]), wanted, tmp_path)


def test_blocks_that_come_at_run_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="constants are needed"):
        sparse(1, [40, 40], fixed=()).graph(tmp_path)


def test_layouts_have_to_fit_the_heads(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="are no layouts for 1 heads"):
        sparse(1, [40, 23], num_heads=1, kv_num_heads=H).graph(tmp_path)
