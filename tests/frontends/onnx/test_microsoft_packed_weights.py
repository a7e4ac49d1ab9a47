"""Weights in fewer bits than a byte, as onnxruntime takes them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from answers import MICROSOFT, Use, check, compare

from modelbuild.errors import BuildError
from modelbuild.tensor.dtype import Array, ElementType

RNG = np.random.default_rng(5)


def data(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def octets(*shape: int) -> Array:
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("columns", [32, 24])
def test_columns_may_be_of_any_block(tmp_path: Path, columns: int) -> None:
    given = {
        "a": data(3, columns), "b": octets(5, 2, 8), "scales": data(10), "zeros": None,
        "order": (RNG.permutation(columns) // 16).astype(np.int32),
    }  # fmt: skip
    attributes = {"K": columns, "N": 5, "bits": 4, "block_size": 16}
    check(Use("MatMulNBits", MICROSOFT, given, attributes, fixed=("b", "scales", "order")), tmp_path)


def test_zero_points_go_with_the_blocks(tmp_path: Path) -> None:
    """By the definition: onnxruntime takes them from other places where columns are of any block."""
    columns, block_of = 32, RNG.permutation(32) // 16
    given = {
        "a": data(3, columns), "b": octets(5, 2, 8), "scales": data(10), "zeros": octets(5),
        "order": block_of.astype(np.int32),
    }  # fmt: skip
    numbers, zeros = (
        np.stack([x & 15, x >> 4], -1).reshape(5, -1).astype(np.float32) for x in (given["b"], given["zeros"])
    )
    weights = (numbers - zeros[:, block_of]) * given["scales"].reshape(5, 2)[:, block_of]
    attributes = {"K": columns, "N": 5, "bits": 4, "block_size": 16}
    use = Use("MatMulNBits", MICROSOFT, given, attributes, fixed=("b", "scales", "zeros", "order"))
    compare(use, [given["a"] @ weights.T], tmp_path)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero_points", [False, True])
def test_rows_of_octets_are_gathered(tmp_path: Path, bits: int, *, zero_points: bool) -> None:
    blocks, rows = 3, 7
    given: dict[str, Any] = {
        "data": octets(rows, blocks * 16 * bits // 8), "indices": np.array([[0, 6], [-1, 2]], np.int64),
        "scales": data(rows, blocks), "zeros": octets(rows, -(-blocks * bits // 8)) if zero_points else None,
    }  # fmt: skip
    fixed = [n for n in given if n != "indices" and given[n] is not None]
    attributes = {"bits": bits, "block_size": 16, "quantize_axis": 1}
    check(Use("GatherBlockQuantized", MICROSOFT, given, attributes, fixed=fixed), tmp_path)


@pytest.mark.parametrize(("gather_axis", "quantize_axis"), [(0, 1), (1, 0), (0, 2), (1, -1), (0, 0)])
def test_any_axis_is_gathered_or_in_blocks(tmp_path: Path, gather_axis: int, quantize_axis: int) -> None:
    shape, blocks = (16, 32, 20), [16, 32, 20]
    blocks[quantize_axis] = -(-blocks[quantize_axis] // 16)
    given = {
        "data": RNG.integers(0, 16, shape).astype(ml_dtypes.uint4), "indices": np.array([3, 0], np.int32),
        "scales": data(*blocks), "zeros": RNG.integers(0, 16, blocks).astype(ml_dtypes.uint4),
    }  # fmt: skip
    attributes = {"block_size": 16, "gather_axis": gather_axis, "quantize_axis": quantize_axis}
    use = Use("GatherBlockQuantized", MICROSOFT, given, attributes, fixed=("data", "scales", "zeros"))
    check(use, tmp_path)


def test_a_whole_row_may_share_a_scale(tmp_path: Path) -> None:
    table, scales = data(6, 24).astype(ml_dtypes.float8_e4m3fn), data(6, 1)
    given = {"data": table, "indices": np.array([5, 0], np.int64), "scales": scales}
    wanted = (table.astype(np.float32) * scales)[given["indices"]]
    use = Use("GatherBlockQuantized", MICROSOFT, given, {"block_size": 0}, fixed=("data", "scales"))
    compare(use, [wanted], tmp_path)


@pytest.mark.parametrize("quant_type", [0, 1])
@pytest.mark.parametrize(("columns", "block"), [(32, 16), (21, 16), (8, 64)])
def test_codes_stand_for_numbers_of_a_table(tmp_path: Path, quant_type: int, columns: int, block: int) -> None:
    rows = 4
    given = {
        "a": data(2, columns), "b": octets((rows * columns + 1) // 2), "absmax": data(-(-rows * columns // block)),
    }  # fmt: skip
    attributes = {"K": columns, "N": rows, "block_size": block, "quant_type": quant_type}
    check(Use("MatMulBnb4", MICROSOFT, given, attributes, fixed=("b", "absmax")), tmp_path)


def test_packed_weights_stay_packed(tmp_path: Path) -> None:
    given = {"data": octets(300, 64), "indices": np.array([1], np.int64), "scales": data(300, 8)}
    use = Use("GatherBlockQuantized", MICROSOFT, given, {"block_size": 16}, fixed=("data", "scales"))
    assert any(n.output.fact.dtype is ElementType.u4 for n in use.graph(tmp_path))


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("MatMulBnb4", {"K": 32, "N": 4, "block_size": 16, "quant_type": 0}),
        ("MatMulNBits", {"K": 32, "N": 4, "block_size": 16}),
    ],
)
def test_a_wrong_number_of_octets_is_an_error(operator: str, attributes: dict[str, int], tmp_path: Path) -> None:
    given = {"a": data(2, 32), "b": octets(4, 2, 7).reshape(-1), "scales": data(8)}
    with pytest.raises(BuildError, match="bytes"):
        Use(operator, MICROSOFT, given, attributes, fixed=("b", "scales")).graph(tmp_path)
