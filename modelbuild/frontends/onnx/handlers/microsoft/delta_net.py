"""Gated delta networks: linear attention with the gates, and the norms of queries and keys, in one operator."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import extents_of, known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.microsoft.linear_attention import over_tokens
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, joined, number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32
_LEAST = 1e-6
"""What is added to the square of a norm."""


@onnx.op("GatedDeltaNet", domain=MICROSOFT)
def gated_delta_net(
    build: Build, query: Value, key: Value | None = None, value: Value | None = None, cu_seqlens: Value | None = None,
    decay: Value | None = None, beta: Value | None = None, initial_state: Value | None = None,
    a_log: Value | None = None, dt_bias: Value | None = None, capture_count: Value | None = None,
    state_update_active: Value | None = None, *,
    beta_activation: str = "none", chunk_size: int = 64, gate_activation: str = "none",
    gate_lower_bound: float = -5.0, qk_l2_norm: int = 0, scale: float = 0.0, state_update_capacity: int = 0,
    update_rule: str = "gated_delta",
) -> tuple[Value, Value]:  # fmt: skip
    """Of ``[batch, token, head, size]``, or ``[token, head, size]`` of all sequences, which are of one length.

    Heads of values take turns with those of queries and keys in blocks. A state is ``[batch, head, value, key]``.
    """
    del chunk_size, state_update_active
    if key is None or value is None or cu_seqlens is not None:
        raise build.refuse("its sequences are packed, or its queries, keys and values are")
    if state_update_capacity or capture_count is not None:
        raise build.refuse("it tells what has changed its state")
    if update_rule not in {"linear", "gated", "delta", "gated_delta"}:
        raise ValueError(f"update_rule is {update_rule!r}, none of linear, gated, delta and gated_delta")
    heads, own = (known_extent(build, x, build.rank(x) - 2, "number of heads") for x in (value, query))
    size, width = (known_extent(build, x, build.rank(x) - 1, "size of a head") for x in (query, value))
    batch = _batches(build, query, initial_state)

    def tokens(x: Value, *shape: int) -> Value:
        """``[batch, token, …]`` in single precision."""
        return build(ops.Reshape(special_zero=False), converted(build, x, _F32), joined(build, batch, -1, *shape))

    q, k = (tokens(x, own, 1, size) for x in (query, key))
    if qk_l2_norm:
        q, k = (build(ops.Divide(), x, _norm(build, x)) for x in (q, k))
    q = build(ops.Multiply(), q, number(build, scale or size**-0.5, q))
    q, k = (_shared(build, x, heads // own) for x in (q, k))
    k = build(ops.Reshape(special_zero=True), k, build.ints(0, 0, heads, size, 1))
    fading = rate = None
    if update_rule.startswith("gated"):
        each = size if build.rank(_given(decay)) == build.rank(query) else 1
        raw = tokens(_given(decay), heads, each, 1)
        fading = build(ops.Exp(), _decay(build, raw, a_log, dt_bias, gate_activation, gate_lower_bound))
    if update_rule.endswith("delta"):
        rate = tokens(_given(beta), heads, 1, 1)
        rate = build(ops.Sigmoid(), rate) if beta_activation == "sigmoid" else rate
    turned = build.ints(0, 1, 3, 2)
    if initial_state is None:
        state = build(ops.Broadcast(), build.scalar(0, _F32), joined(build, batch, heads, size, width))
    else:
        state = build(ops.Transpose(), initial_state, turned)
    every, last = over_tokens(build, state, q, k, tokens(value, heads, 1, width), fading, rate)
    front = extents_of(build, value, *range(build.rank(value) - 2))
    y = build(ops.Reshape(special_zero=False), every, joined(build, front, heads, width))
    return converted(build, y, query.fact.dtype), build(ops.Transpose(), last, turned)


def _batches(build: Build, query: Value, state: Value | None) -> Value:
    """How many sequences there are, a list of one."""
    if build.rank(query) == 4:
        return extents_of(build, query, 0)
    if state is None:
        raise ValueError("neither a state nor an axis says how many sequences there are")
    return extents_of(build, state, 0)


def _given(gate: Value | None) -> Value:
    if gate is None:
        raise ValueError("its rule needs a decay or a rate, which is missing")
    return gate


def _norm(build: Build, x: Value) -> Value:
    squares = build(ops.ReduceSum(keep_dims=True), build(ops.Multiply(), x, x), build.ints(-1))
    return build(ops.Sqrt(), build(ops.Add(), squares, number(build, _LEAST, squares)))


def _shared(build: Build, x: Value, times: int) -> Value:
    """``[batch, token, head, 1, size]`` with each head so often."""
    if times == 1:
        return x
    several = build(ops.Tile(), x, build.ints(1, 1, 1, times, 1))
    heads, size = (known_extent(build, x, axis, "shape of the heads") for axis in (2, 4))
    return build(ops.Reshape(special_zero=True), several, build.ints(0, 0, heads * times, 1, size))


def _decay(
    build: Build, raw: Value, a_log: Value | None, dt_bias: Value | None, activation: str, least: float
) -> Value:
    """The logarithm of what is kept of a state, ``[batch, token, head, key or 1, 1]``."""
    if activation == "none":
        return raw
    if a_log is None or dt_bias is None:
        raise ValueError(f"its gate is {activation}: a_log or dt_bias is missing")
    speed = build(ops.Exp(), build(ops.Reshape(), as_list(build, a_log), build.ints(-1, 1, 1)))
    raised = build(ops.Add(), raw, build(ops.Reshape(), dt_bias, joined(build, extents_of(build, speed, 0), -1, 1)))
    match activation:
        case "softplus" | "qwen":
            return build(ops.Multiply(), build(ops.Negative(), speed), build(ops.SoftPlus(), raised))
        case "sigmoid" | "kda":
            open_part = build(ops.Sigmoid(), build(ops.Multiply(), speed, raised))
            return build(ops.Multiply(), open_part, number(build, least, open_part))
    raise build.refuse(f"its gate {activation} is not known")
