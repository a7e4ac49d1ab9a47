"""Attention with a state in place of keys, token by token, and what the layers that have it put before it."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import extents_of, known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, joined, number
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Parameter
from modelbuild.ops.axes import replaced
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact

_F32 = ElementType.f32
_FAR = (1 << 31) - 1


@onnx.op("LinearAttention", domain=MICROSOFT)
def linear_attention(
    build: Build, query: Value, key: Value, value: Value, past_state: Value | None = None, decay: Value | None = None,
    beta: Value | None = None, *,
    chunk_size: int = 64, kv_num_heads: int, q_num_heads: int, scale: float = 0.0, state_window: int = 0,
    update_rule: str = "gated_delta",
) -> tuple[Value, Value]:  # fmt: skip
    """A state may have several queries, or a query several states."""
    del chunk_size
    if state_window:
        raise build.refuse("it keeps the states of several tokens")
    if update_rule not in {"linear", "gated", "delta", "gated_delta"}:
        raise ValueError(f"update_rule is {update_rule!r}, none of linear, gated, delta and gated_delta")
    if min(q_num_heads, kv_num_heads) < 1 or max(q_num_heads, kv_num_heads) % min(q_num_heads, kv_num_heads):
        raise ValueError(f"{q_num_heads} heads of queries do not go with {kv_num_heads} of keys")
    if known_extent(build, key, 2, "size of the keys") % kv_num_heads:
        raise ValueError(f"keys of {key.fact} are not of {kv_num_heads} heads")
    size = known_extent(build, query, 2, "size of the queries") // q_num_heads
    if kv_num_heads > q_num_heads:
        query = _each_repeated(build, query, q_num_heads, kv_num_heads // q_num_heads)
    q = _per_token(build, query, kv_num_heads, -1, size)
    k = _per_token(build, key, kv_num_heads, -1, 1)
    v = _per_token(build, value, kv_num_heads, 1, -1)
    q = build(ops.Multiply(), q, number(build, scale or size**-0.5, q))
    fading = rate = None
    if update_rule.startswith("gated"):
        fading = build(ops.Exp(), _per_token(build, _given(decay, "decay"), kv_num_heads, -1, 1))
    if update_rule.endswith("delta"):
        rate = _per_token(build, _given(beta, "beta"), -1, 1, 1)
    if past_state is None:
        extents = (extents_of(build, k, 0), kv_num_heads, size, extents_of(build, v, 4))
        state = build(ops.Broadcast(), build.scalar(0, _F32), joined(build, *extents))
    else:
        state = converted(build, past_state, _F32)
    every, last = over_tokens(build, state, q, k, v, fading, rate)
    y = build(ops.Reshape(special_zero=True), every, build.ints(0, 0, -1))
    kept = value.fact.dtype if past_state is None else past_state.fact.dtype
    return converted(build, y, value.fact.dtype), converted(build, last, kept)


def _given(x: Value | None, what: str) -> Value:
    if x is None:
        raise ValueError(f"its rule needs the {what}, which is missing")
    return x


def _per_token(build: Build, x: Value, *shape: int) -> Value:
    """``[batch, token, …]`` in single precision, what follows in another shape."""
    return build(ops.Reshape(special_zero=True), converted(build, x, _F32), build.ints(0, 0, *shape))


def _each_repeated(build: Build, x: Value, heads: int, times: int) -> Value:
    """``[batch, token, heads * size]`` as ``[batch, token, heads * times, size]``, each head so often."""
    apart = _per_token(build, x, heads, -1)
    return build(ops.Gather(), apart, build.const(np.repeat(np.arange(heads), times)), build.scalar(2))


def over_tokens(
    build: Build, state: Value, q: Value, k: Value, v: Value, fading: Value | None, rate: Value | None
) -> tuple[Value, Value]:
    """What comes out for each token, ``[batch, token, head, query, size]``, and the state after the last.

    All are ``[batch, token, head, …]``; a state is ``[batch, head, key, value]``.
    """
    whole = [x for x in (q, k, v, fading, rate) if x is not None]
    parts = [_parameter(build, Fact(_F32, replaced(x.fact.shape or (), 1, 1))) for x in whole]
    before = _parameter(build, state.fact)
    q, k, v, *gates = (build(ops.Squeeze(), part, build.ints(1)) for part in parts)
    after = before if fading is None else build(ops.Multiply(), before, gates[0])
    if rate is not None:
        known = build(ops.MatMul(transpose_a=True), k, after)
        v = build(ops.Multiply(), build(ops.Subtract(), v, known), gates[-1])
    after = build(ops.Add(), after, build(ops.Multiply(), k, v))
    shown = build(ops.Unsqueeze(), build(ops.MatMul(), q, after), build.ints(1))
    op = ops.TensorIterator(
        Graph([*parts, before], [shown, after], name=build.layer),
        (*(ops.Sliced(i, 1, 0, -1, 1) for i in range(len(whole))), ops.Merged(len(whole), 1)),
        (ops.Stacked(0, 1, 0, -1, 1), ops.Last(1)),
    )
    every, last = build.node(op, *whole, state).outputs
    return every, last


def _parameter(build: Build, fact: Fact) -> Value:
    return Node(Parameter(fact.dtype, fact.shape), (), f"{build.layer}/Parameter", build.origin).output


@onnx.op("LinearAttentionGate", domain=MICROSOFT)
def linear_attention_gate(
    build: Build, a: Value, dt_bias: Value, decay_scale: Value, b: Value | None = None
) -> tuple[Value | None, ...]:
    """The decay and the rate of :func:`linear_attention`."""
    raised = build(ops.Add(), converted(build, a, _F32), dt_bias)
    decay = build(ops.Multiply(), build(ops.SoftPlus(), raised), decay_scale)
    rate = None if b is None else build(ops.Sigmoid(), b)
    return converted(build, decay, a.fact.dtype), rate


@onnx.op("CausalConvWithState", domain=MICROSOFT)
def causal_conv_with_state(
    build: Build, x: Value, weight: Value, bias: Value | None = None, past_state: Value | None = None, *,
    activation: str = "none", channels_last: int = 0, dilation: int = 1, input_channel_offset: int = 0,
    input_channels: int = 0, ndim: int = 1, state_channels_last: int = -1, state_length: int = 0,
    state_update_capacity: int = 0, state_window: int = 0,
) -> tuple[Value, Value]:  # fmt: skip
    """Each channel by itself, and what came before in place of padding; the last of that is kept for the next time."""
    if ndim != 1 or state_window or state_update_capacity or state_length or input_channels or input_channel_offset:
        raise build.refuse("it is of images, takes some channels only, or keeps another state than its filters need")
    if channels_last and build.rank(x) != 3:
        raise build.refuse(f"its channels are in several axes: {x.fact}")
    if state_channels_last not in {-1, channels_last}:
        raise build.refuse("its state has another layout than its input")
    if activation not in {"none", "silu", "swish"}:
        raise build.refuse(f"its activation {activation} is not known")
    turned = build.ints(0, 2, 1)
    if channels_last:
        x = build(ops.Transpose(), x, turned)
        past_state = None if past_state is None else build(ops.Transpose(), past_state, turned)
    length = (known_extent(build, weight, 2, "length of the filters") - 1) * dilation
    if past_state is None:
        zero = number(build, 0, x)
        past_state = build(ops.Broadcast(), zero, joined(build, extents_of(build, x, 0, 1), length))
    whole = build(ops.Concat(2), past_state, x)
    filters = build(ops.Unsqueeze(), weight, build.ints(1))
    y = build(ops.GroupConvolution(ops.Window((1,), (dilation,), (0,), (0,))), whole, filters)
    if bias is not None:
        y = build(ops.Add(), y, build(ops.Reshape(), as_list(build, bias), build.ints(1, -1, 1)))
    y = y if activation == "none" else build(ops.Swish(), y)
    behind = build(ops.Subtract(), extents_of(build, whole, 2), build.ints(length))
    kept = build(ops.Slice(), whole, behind, build.ints(_FAR), build.ints(1), build.ints(2))
    if channels_last:
        y, kept = (build(ops.Transpose(), v, turned) for v in (y, kept))
    return y, kept
