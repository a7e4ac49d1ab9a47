"""Attention as ONNX has it means here what ONNX's own reference computes, in numpy and on the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import Use, compare
from onnx.reference import ReferenceEvaluator

from modelbuild import ops
from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.graph import Graph
from modelbuild.tensor.dtype import Array

B, H, S, K, D = 2, 2, 3, 5, 4
"""Batch, heads, queries, keys, size of a head."""


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def use(*, opset: int = 25, **how: Any) -> Use:
    given = {"q": data(B, H, S, D), "k": data(B, H, K, D), "v": data(B, H, K, D)}
    given |= {n: how.pop(n) for n in ("q", "k", "v") if n in how}
    optional = ("mask", "past_k", "past_v", "lengths")[: 4 if opset > 23 else 3]
    inputs: dict[str, Array | None] = {**given, **{n: how.pop(n, None) for n in optional}}
    fields = {n: how.pop(n) for n in ("outputs", "symbolic") if n in how}
    return Use("Attention", "", inputs, how, opset=opset, **fields)


SEEN = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
PAST: dict[str, Any] = {"past_k": data(B, H, 2, D), "past_v": data(B, H, 2, D), "outputs": ("y", "pk", "pv")}
FLAT: dict[str, Any] = {"q": data(B, S, 4 * D), "k": data(B, K, 2 * D), "v": data(B, K, 2 * D)}


def uses() -> Iterator[Use]:
    yield use(opset=23)
    yield use(opset=24, scale=0.3)
    yield use(symbolic=True, is_causal=1)
    yield use(is_causal=1)
    yield use(mask=SEEN)
    yield use(mask=SEEN, is_causal=1, symbolic=True)
    yield use(mask=data(S, K))
    yield use(mask=np.where(SEEN, data(S, K), -np.inf).astype(np.float32))
    yield use(mask=data(B, 1, S, K), is_causal=1)
    yield use(mask=SEEN[:, :3])
    yield use(mask=data(S, 3), lengths=np.array([2, 3], np.int64))
    yield use(**PAST)
    yield use(**PAST, is_causal=1)
    yield use(**PAST, mask=data(S, K + 2), symbolic=True)
    yield use(lengths=np.array([2, 5], np.int64))
    yield use(lengths=np.array([2, 5], np.int64), is_causal=1)
    yield use(**FLAT, q_num_heads=4, kv_num_heads=2)
    yield use(**FLAT, q_num_heads=4, kv_num_heads=2, is_causal=1, softcap=2.0)
    yield use(q=data(B, 6, S, D), is_causal=1)
    yield use(softcap=1.5, mask=SEEN)
    yield use(left_window_size=1)
    yield use(left_window_size=1, right_window_size=1, mask=SEEN)
    for mode in range(4):
        yield use(mask=SEEN, outputs=("y", "", "", "qk"), qk_matmul_output_mode=mode)
    yield use(softmax_precision=1, is_causal=1)


USES = list(uses())


@pytest.mark.parametrize("case", USES, ids=map(str, range(len(USES))))
def test_attention_is_what_the_reference_computes(case: Use, tmp_path: Path) -> None:
    model = case.model()
    names = [n for n in case.outputs if n]
    wanted: Any = ReferenceEvaluator(model).run(names, case.feeds)
    compare(case, wanted, tmp_path)


def kinds(graph: Graph) -> set[type]:
    return {type(node.op) for node in graph.nodes()}


def test_a_causal_attention_is_one_operation_without_a_mask(tmp_path: Path) -> None:
    graph = use(is_causal=1).graph(tmp_path)
    (node,) = [node for node in graph.nodes() if isinstance(node.op, ops.ScaledDotProductAttention)]
    assert node.op == ops.ScaledDotProductAttention(causal=True)
    assert len(node.inputs) == 3


def test_a_capped_attention_is_spelled_out(tmp_path: Path) -> None:
    assert ops.ScaledDotProductAttention not in kinds(use(softcap=2.0).graph(tmp_path))


def test_heads_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="5 heads of queries share 2"):
        use(q=data(B, 5, S, D)).graph(tmp_path)


def test_flat_tensors_need_the_numbers_of_heads(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="need q_num_heads and kv_num_heads"):
        use(**FLAT).graph(tmp_path)
