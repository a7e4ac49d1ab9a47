"""Weights of ``com.microsoft`` in fewer bits than a byte, which stay packed: the runtime unpacks them as it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.quantize import Scale, dequantized
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

PACKED = {2: ElementType.u2, 4: ElementType.u4, 8: ElementType.u8}


@onnx.op("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    build: Build, a: Value, b: Value, scales: Value, zero_points: Value | None = None, g_idx: Value | None = None,
    bias: Value | None = None, *,
    K: int, N: int, accuracy_level: int = 0, bits: int = 4, block_size: int, weight_prepacked: int = 0,  # noqa: N803
) -> Value:  # fmt: skip
    """Rows of weights in blocks of packed integers, with a scale and a zero point a block.

    ``g_idx`` names the block of each column where they do not follow each other: then the columns are put in the order
    of their blocks, and those of ``a`` with them.
    """
    if weight_prepacked or bits not in PACKED:
        raise build.refuse(f"its weights are prepacked or of {bits} bits")
    rows = Rows(bits, (N, -(-K // block_size)), block_size)
    numbers = unpacked(build, b, bits, (*rows.shape, block_size))
    if g_idx is not None:
        order = _order(build, g_idx, K, block_size)
        a = build(ops.Gather(), a, build.const(order), build.scalar(-1))
        numbers = _reordered(numbers, order)
    weights = rows.real(build, numbers, scales, zero_points, a.fact.dtype)
    made = build(ops.MatMul(transpose_b=True), a, first(build, weights, K, 1))
    return made if bias is None else build(ops.Add(), made, as_list(build, bias))


def _order(build: Build, block_of: Value, columns: int, block: int) -> Array:
    """The columns, those of the first block first."""
    blocks = _constant(build, block_of).numpy().reshape(-1)
    if len(blocks) < columns:
        raise ValueError(f"g_idx has {len(blocks)} numbers for {columns} columns")
    order = np.argsort(blocks[:columns], stable=True)
    if not np.array_equal(blocks[order], np.arange(columns) // block):
        raise build.refuse(f"its blocks do not have {block} columns each")
    return order


def _reordered(numbers: Tensor, order: Array) -> Tensor:
    """With other columns in the first places; what fills up the last block stays behind them."""
    old = numbers.numpy().reshape(numbers.shape[0], -1)
    return InMemory(np.concatenate([old[:, order], old[:, len(order) :]], 1).reshape(numbers.shape))


@dataclass(frozen=True, slots=True)
class Rows:
    """Integers of ``bits`` bits in rows, which are cut into blocks of ``block`` numbers; ``shape`` counts the blocks.

    Each block has a factor, and a zero point: the middle of the range where none is given.
    """

    bits: int
    shape: Ints
    block: int = 1

    def real(self, build: Build, numbers: Tensor, scales: Value, zero_points: Value | None, real: ElementType) -> Value:
        """What ``numbers``, ``[…, block, number]``, stand for, the blocks joined."""
        zero = self.zero(build, zero_points, real)
        zero = zero if zero.fact.rank == 0 else build(ops.Unsqueeze(), zero, build.ints(len(self.shape)))
        made = build.const(numbers)
        made = build(ops.Subtract(), converted(build, made, real), zero)
        factors = converted(build, build(ops.Reshape(), scales, build.ints(*self.shape, 1)), real)
        flat = build.ints(*self.shape[:-1], self.shape[-1] * self.block)
        return build(ops.Reshape(), build(ops.Multiply(), made, factors), flat)

    def zero(self, build: Build, given: Value | None, real: ElementType) -> Value:
        """The zero point of each block, or the only one; packed ones fill whole bytes at the end of a row."""
        if given is None:
            return build.scalar(1 << (self.bits - 1), real)
        if given.fact.dtype is not ElementType.u8:
            return converted(build, build(ops.Reshape(), given, build.ints(*self.shape)), real)
        *outer, blocks = self.shape
        whole = -(-blocks * self.bits // 8) * 8 // self.bits
        numbers = build.const(unpacked(build, given, self.bits, (*outer, whole)))
        return first(build, converted(build, numbers, real), blocks, len(outer))


@onnx.op("GatherBlockQuantized", domain=MICROSOFT)
def gather_block_quantized(
    build: Build, data: Value, indices: Value, scales: Value, zero_points: Value | None = None, *,
    bits: int = 4, block_size: int = 128, gather_axis: int = 0, quantize_axis: int = 1,
) -> Value:  # fmt: skip
    """Octets hold several numbers along the last axis; only these have a zero point where none is given."""
    shape = data.fact.static_shape
    if shape is None:
        raise build.refuse(f"the shape of its table is unknown: {data.fact}")
    axis = build.axis(quantize_axis, len(shape))
    if data.fact.dtype is ElementType.u8:
        data, zero_points = _table(build, data, zero_points, bits, scales)
    table = dequantized(build, data, Scale(scales, zero_points, axis, block_size))
    return build(ops.Gather(), table, indices, build.scalar(gather_axis))


def _table(build: Build, data: Value, zero_points: Value | None, bits: int, scales: Value) -> tuple[Value, Value]:
    if bits not in PACKED:
        raise build.refuse(f"its numbers have {bits} bits")
    *outer, octets = data.fact.static_shape or ()
    blocks = _constant(build, scales).shape
    if len(blocks) != len(outer) + 1:
        raise ValueError(f"the scales {scales.fact} are not those of the blocks of {data.fact}")
    numbers = build.const(unpacked(build, data, bits, (*outer, octets * 8 // bits)))
    if zero_points is None:
        return numbers, build.const(np.full(blocks, 1 << (bits - 1), np.uint8))
    return numbers, Rows(bits, blocks).zero(build, zero_points, ElementType.u8)


# --- numbers of a table ----------------------------------------------------------------------------------------------

_FP4 = (0.0, 0.0052083333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
CODES = ((*_FP4, *(-n for n in _FP4)), _NF4)
"""What the codes of four bits stand for, by ``quant_type``."""


@onnx.op("MatMulBnb4", domain=MICROSOFT)
def matmul_bnb4(
    build: Build, a: Value, b: Value, absmax: Value, *,
    K: int, N: int, block_size: int, quant_type: int, training_mode: int = 0, transB: int = 1,  # noqa: N803
) -> Value:  # fmt: skip
    """Weights are codes times the largest of their block; blocks go on from one row to the next."""
    del training_mode
    if quant_type not in range(len(CODES)):
        raise build.refuse(f"its quant_type {quant_type} is not known")
    count, real = N * K, a.fact.dtype
    block = min(block_size, count)
    blocks = -(-count // block)
    codes = build.const(_high_first(build, b, count, blocks * block))
    table = build.const(np.array(CODES[quant_type]).astype(real.numpy))
    numbers = build(ops.Gather(), table, converted(build, codes, ElementType.i32), build.scalar(0))
    scaled = build(
        ops.Multiply(),
        build(ops.Reshape(), numbers, build.ints(blocks, block)),
        build(ops.Reshape(), absmax, build.ints(blocks, 1)),
    )
    weights = build(ops.Reshape(), first(build, as_list(build, scaled), count, 0), build.ints(N, K))
    return build(ops.MatMul(transpose_b=bool(transB)), a, weights)


def _high_first(build: Build, octets: Value, count: int, padded: int) -> Array:
    """Codes of four bits, the first of a pair in the high ones of its byte, followed by zeros."""
    if octet_count(build, octets) != (count + 1) // 2:
        raise ValueError(f"{octets} is {octets.fact}, {(count + 1) // 2} bytes expected")
    bytes_ = _constant(build, octets).numpy().reshape(-1)
    codes = np.stack([bytes_ >> 4, bytes_ & 15], -1).reshape(-1)[:count]
    return np.pad(codes, (0, padded - count)).astype(ElementType.u4.numpy)


# --- parts of them ---------------------------------------------------------------------------------------------------


def first(build: Build, x: Value, count: int, axis: int) -> Value:
    """The first elements of an axis; ``x`` itself where it has no more."""
    if x.fact.shape and x.fact.shape[axis] == count:
        return x
    return build(ops.Slice(), x, build.ints(0), build.ints(count), build.ints(1), build.ints(axis))


def unpacked(build: Build, octets: Value, bits: int, shape: Ints) -> Tensor:
    """The same bytes as numbers of fewer bits; the first number is in the lowest ones, as in an IR."""
    tensor, dtype = _constant(build, octets), PACKED[bits]
    if tensor.nbytes != dtype.nbytes(int(np.prod(shape))):
        raise ValueError(f"{octets} has {tensor.nbytes} bytes, {list(shape)} of {bits} bits expected")
    if isinstance(tensor, Mapped):
        return Mapped(tensor.path, tensor.offset, dtype, shape)
    bytes_ = tensor.numpy().reshape(-1)
    mask = (1 << bits) - 1
    numbers = np.stack([bytes_ >> shift & mask for shift in range(0, 8, bits)], -1)
    return InMemory(numbers.astype(dtype.numpy).reshape(shape))


def octet_count(build: Build, octets: Value) -> int:
    return _constant(build, octets).nbytes


def _constant(build: Build, x: Value) -> Tensor:
    if x.fact.value is None:
        raise build.refuse(f"{x} is computed at run time, a constant is needed")
    return x.fact.value
