"""What onnxruntime's tools put around models that generate text."""

from __future__ import annotations

from dataclasses import dataclass

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_list, converted, extent_of, number, shape_of
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType

_END = (1 << 31) - 1
_LONGEST = 256
"""Tokens of an n-gram: each is some nodes more."""


@onnx.op("NGramRepeatBlock", domain=MICROSOFT)
def n_gram_repeat_block(build: Build, input_ids: Value, scores: Value, *, ngram_size: int) -> Value:
    """The score of a token is negative infinity where the last ones have been followed by it before."""
    if not 1 <= ngram_size <= _LONGEST:
        raise ValueError(f"ngram_size is {ngram_size}, a number of at least 1 expected, and at most {_LONGEST}")
    before = ngram_size - 1
    followers = _columns(build, input_ids, before, _END)
    seen = build(ops.Broadcast(), build.scalar(True, ElementType.boolean), shape_of(build, followers))
    for k in range(before):
        last = _columns(build, input_ids, k - before, k - before + 1 or _END)
        same = build(ops.Equal(), _columns(build, input_ids, k, k - before), last)
        seen = build(ops.LogicalAnd(), seen, same)
    worst = build(ops.Select(), seen, number(build, float("-inf"), scores), number(build, float("inf"), scores))
    return build(ops.ScatterElementsReduce("min"), scores, followers, worst, build.scalar(1))


def _columns(build: Build, x: Value, start: int, stop: int) -> Value:
    return build(ops.Slice(), x, build.ints(start), build.ints(stop), build.ints(1), build.ints(1))


@onnx.op("BifurcationDetector", domain=MICROSOFT)
def bifurcation_detector(
    build: Build, src_tokens: Value, cur_tokens: Value, prev_suffix_match_idx: Value,
    pred_tokens: Value | None = None, *,
    max_ngram_size: int = 3, min_ngram_size: int = 1,
) -> tuple[Value, Value]:  # fmt: skip
    """The tokens with those predicted up to the first that the source does not have, and where the source goes on.

    It goes on behind the only place where it has the last tokens, as many of them as it takes to be the only one.
    """
    if not 1 <= min_ngram_size <= max_ngram_size <= _LONGEST:
        raise ValueError(f"of {min_ngram_size} to {max_ngram_size} tokens, 1 to {_LONGEST} expected")
    tokens = cur_tokens
    if pred_tokens is not None:
        agreed = _agreed(build, src_tokens, prev_suffix_match_idx, pred_tokens)
        tokens = build(ops.Concat(0), cur_tokens, agreed)
    source = Source(build, src_tokens, tokens)
    hits, place, live = None, build.scalar(-1), build.scalar(True, ElementType.boolean)
    for length in range(1, max_ngram_size + 1):
        hits = source.ends(length, hits)
        if length >= min_ngram_size:
            place, live = source.narrowed(length, hits, place, live)
    return tokens, build(ops.Reshape(), place, shape_of(build, prev_suffix_match_idx))


def _agreed(build: Build, source: Value, begin: Value, predicted: Value) -> Value:
    """The predicted tokens up to the first that is not the source's; there is one more than the source has."""
    zero, one = build.ints(0), build.ints(1)
    known = build(ops.Slice(), source, as_list(build, begin), build.ints(_END), one, zero)
    differs = build(ops.NotEqual(), predicted, build(ops.Concat(0), known, zero))
    count = extent_of(build, predicted, 0)
    last = build(ops.Subtract(), count, build.scalar(1))
    first = _first(build, differs, count, last)
    return build(ops.Slice(), predicted, zero, as_list(build, build(ops.Add(), first, build.scalar(1))), one, zero)


def _first(build: Build, holds: Value, count: Value, otherwise: Value) -> Value:
    """The first of ``count`` places where something holds."""
    places = build(ops.Range(ElementType.i64), build.scalar(0), count, build.scalar(1))
    return build(ops.ReduceMin(keep_dims=False), build(ops.Select(), holds, places, otherwise), build.ints(0))


@dataclass(frozen=True, slots=True)
class Source:
    """Where in a list of tokens the last of others are."""

    build: Build
    source: Value
    tokens: Value

    def ends(self, length: int, shorter: Value | None) -> Value:
        """Whether the last ``length`` tokens end at each place, if that is known of one token less."""
        build = self.build
        place = build(ops.Subtract(), extent_of(build, self.tokens, 0), build.scalar(length))
        token = build(ops.Gather(), self.tokens, build(ops.Maximum(), place, build.scalar(0)), build.scalar(0))
        same = build(ops.Equal(), self.source, token)
        if shorter is None:
            return same
        none = build(ops.Broadcast(), build.scalar(False, ElementType.boolean), build.ints(length - 1))
        zero = build.ints(0)
        moved = build(ops.Slice(), build(ops.Concat(0), none, same), zero, shape_of(build, same), build.ints(1), zero)
        return build(ops.LogicalAnd(), shorter, moved)

    def narrowed(self, length: int, hits: Value, place: Value, live: Value) -> tuple[Value, Value]:
        """Where the source goes on, and whether more tokens may still tell; both as before once they do not."""
        build, one = self.build, self.build.scalar(1)
        count = extent_of(build, self.source, 0)
        times = build(ops.ReduceSum(keep_dims=False), converted(build, hits, ElementType.i64), build.ints(0))
        behind = build(ops.Add(), _first(build, hits, count, count), one)
        enough = build(ops.GreaterEqual(), extent_of(build, self.tokens, 0), build.scalar(length))
        found = build(ops.LogicalAnd(), build(ops.LogicalAnd(), live, enough), build(ops.GreaterEqual(), times, one))
        inside = build(ops.Less(), behind, count)
        unsure = build(ops.LogicalAnd(), inside, build(ops.Greater(), times, one))
        here = build(ops.Select(), unsure, build.scalar(-1), behind)
        return build(ops.Select(), found, here, place), build(ops.LogicalAnd(), found, inside)
