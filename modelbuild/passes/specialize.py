"""What an artifact asks of a graph beyond what all artifacts share: its device's limits and its precision.

What judges devices and what quantises is imported by those who ask for it: most ask for FP16 anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelbuild.errors import UsageError
from modelbuild.graph import Graph
from modelbuild.passes.compress.half import compress_to_bf16, compress_to_fp16
from modelbuild.passes.compress.keep import expect_layers
from modelbuild.rewrite import Trace
from modelbuild.targets import Limits
from modelbuild.targets.compression import Compression
from modelbuild.targets.precision import Precision

ANYWHERE = Limits()

DEFAULT: Final = Compression()


def specialize(
    graph: Graph,
    *,
    precision: str,
    limits: Limits = ANYWHERE,
    compression: Compression = DEFAULT,
    trusting: bool = False,
) -> Trace:
    """Bring ``graph`` into the form that a target and a precision ask for, in place.

    ``trusting`` leaves it to whoever writes the graph to find numbers that f16 cannot hold: see
    :func:`compress_to_fp16`.

    Raises :class:`BuildError` with all that the target's device or runtime does not take and what would help, or where
    a model is quantised already; and :class:`UsageError` for a precision that cannot be built, or a rule that holds
    for nothing.
    """
    trace = Trace()
    if limits != ANYWHERE:
        from modelbuild.passes.fit import fit

        fit(graph, limits, trace)
    if precision not in _STORED:
        raise UsageError(f"precision {precision} takes examples to measure ranges on: name them in a manifest")
    expect_layers(graph, compression.keep)
    _STORED[Precision(precision)](graph, trace, compression, trusting)
    return trace


def suits(graph: Graph, *, precision: str, limits: Limits = ANYWHERE, compression: Compression = DEFAULT) -> bool:
    """Whether all that :func:`specialize` would do to ``graph`` is to leave it as it is."""
    if precision != Precision.FP32 or compression.keep:
        return False
    if limits == ANYWHERE:
        return True
    from modelbuild.passes.fit import fits

    return fits(graph, limits)


def _store_fp16(graph: Graph, trace: Trace, how: Compression, trusting: bool) -> None:
    compress_to_fp16(graph, trace, how.keep, trusting=trusting)


def _store_bf16(graph: Graph, trace: Trace, how: Compression, trusting: bool) -> None:
    compress_to_bf16(graph, trace, how.keep)


def _store_int8(graph: Graph, trace: Trace, how: Compression, trusting: bool) -> None:
    """What is no weight is stored as in FP16."""
    from modelbuild.passes.compress.integers import compress_to_int8
    from modelbuild.passes.compress.quantized import expect_real_weights

    expect_real_weights(graph, Precision.INT8)
    if not compress_to_int8(graph, trace, how):
        graph.notes.append("INT8: there is no weight that it is for")
    compress_to_fp16(graph, trace, how.keep, trusting=trusting)


def _store_int4(graph: Graph, trace: Trace, how: Compression, trusting: bool) -> None:
    from modelbuild.passes.compress.integers import compress_to_int4
    from modelbuild.passes.compress.quantized import expect_real_weights

    expect_real_weights(graph, Precision.INT4)
    fours, eights = compress_to_int4(graph, trace, how)
    if not fours:
        instead = f"; {eights} are stored as INT8" if eights else ""
        graph.notes.append(f"INT4: there is no weight that it is for{instead}")
    compress_to_fp16(graph, trace, how.keep, trusting=trusting)


def _store_fp32(graph: Graph, trace: Trace, how: Compression, trusting: bool) -> None:
    """All is as it was."""


_STORED: Final[dict[Precision, Callable[[Graph, Trace, Compression, bool], None]]] = {
    Precision.FP32: _store_fp32,
    Precision.FP16: _store_fp16,
    Precision.BF16: _store_bf16,
    Precision.INT8: _store_int8,
    Precision.INT4: _store_int4,
}
