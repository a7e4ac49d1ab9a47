"""Which experts a token is sent to, chosen from the best groups of them."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.attention import known_extent
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_F32 = ElementType.f32
_LEAST = 1e-20
"""The least probability whose logarithm is taken."""


@onnx.op("MoEGroupRouter", domain=MICROSOFT)
def moe_group_router(
    build: Build, logits: Value, expert_bias: Value, projection_weight: Value | None = None, *,
    group_topk: int = 2, n_group: int = 1, router_sentinel: float = -10000.0, top_k: int, topk_group: int = 1,
) -> tuple[Value | None, ...]:  # fmt: skip
    """The logarithms of the chosen experts' probabilities, or those of all experts, with and without the bias."""
    wide = converted(build, logits, _F32)
    if projection_weight is not None:
        wide = build(ops.MatMul(transpose_b=True), wide, converted(build, projection_weight, _F32))
    experts = known_extent(build, expert_bias, 0, "number of experts")
    flat = build(ops.Reshape(special_zero=False), wide, build.ints(-1, experts))
    weights = build(ops.Sigmoid(), flat)
    scores = build(ops.Add(), weights, expert_bias)
    if not build.wants(0):
        return None, scores, weights
    if min(n_group, group_topk, topk_group, top_k) < 1 or experts % n_group:
        raise ValueError(f"{experts} experts in {n_group} groups, {topk_group} of which are chosen")
    apart = build(ops.Reshape(special_zero=True), scores, build.ints(0, n_group, -1))
    several = build.scalar(min(group_topk, experts // n_group))
    best = build.node(ops.StableTopK(2), apart, several).outputs[0]
    groups = _among_best(build, build(ops.ReduceSum(keep_dims=False), best, build.ints(2)), min(topk_group, n_group))
    open_ones = build(ops.Select(), build(ops.Unsqueeze(), groups, build.ints(2)), apart, number(build, _CLOSED, apart))
    chosen = _among_best(build, build(ops.Reshape(special_zero=False), open_ones, shape_of(build, scores)), top_k)
    log = build(ops.Log(), build(ops.Maximum(), weights, number(build, _LEAST, weights)))
    made = build(ops.Select(), chosen, log, number(build, router_sentinel, log))
    return (converted(build, made, logits.fact.dtype),)


_CLOSED = float("-inf")


def _among_best(build: Build, scores: Value, count: int) -> Value:
    """Whether each score is one of the ``count`` largest of its row, the first of equal ones."""
    places = build.node(ops.StableTopK(1), scores, build.scalar(count)).outputs[1]
    none = build(ops.Broadcast(), build.scalar(0, _F32), shape_of(build, scores))
    ones = build(ops.Broadcast(), build.scalar(1, _F32), shape_of(build, places))
    marked = build(ops.ScatterElementsUpdate(), none, places, ones, build.scalar(1))
    return build(ops.Greater(), marked, number(build, 0, marked))
