"""How ``convert`` is told to store weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from modelbuild.errors import UsageError
from modelbuild.targets import Compression, Int4, Int8, Keep, Precision

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--precision",
        type=click.Choice([p.value for p in Precision], case_sensitive=False),
        help="FP16 if nothing is said.",
    ),
    click.option("--mode", type=click.Choice(["asym", "sym"]), help="Of INT8 and INT4: with a zero point, or without."),
    click.option(
        "--group_size",
        type=click.Choice(["-1", "16", "32", "64", "128", "256", "512", "1024"]),
        help="Of INT4: how many numbers share a scale; -1 for a channel, 128 if nothing is said.",
    ),
    click.option("--ratio", type=click.FloatRange(0, 1), help="Of INT4: what part of the products gets four bits."),
    click.option("--all_layers", is_flag=True, help="Of INT4: embeddings and the last product get four bits too."),
    click.option(
        "--keep",
        multiple=True,
        metavar="NODES=PRECISION",
        help="Layers that stay in FP16, FP32 or INT8: a pattern of names, or [MatMul,…]. May be given several times.",
    ),
)


def compression_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def compression(
    precision: Precision,
    *,
    mode: str | None,
    group_size: str | None,
    ratio: float | None,
    all_layers: bool,
    keep: Iterable[str],
) -> Compression:
    """What the options say; raises :class:`UsageError` for one that ``precision`` has no use for."""
    fours: dict[str, Any] = {
        "group_size": None if group_size is None else int(group_size),
        "ratio": ratio,
        "all_layers": all_layers or None,
    }
    given = {name: value for name, value in fours.items() if value is not None}
    if given and precision is not Precision.INT4:
        raise UsageError(f"--{next(iter(given))} is an option of INT4; this is {precision}")
    if mode and precision not in {Precision.INT8, Precision.INT4}:
        raise UsageError(f"--mode is an option of INT8 and INT4; this is {precision}")
    if mode:
        given["mode"] = mode
    rules = tuple(map(_rule, keep))
    if precision is Precision.INT4:
        return Compression(int4=Int4(**given), keep=rules)
    return Compression(Int8(**given), keep=rules)


def _rule(text: str) -> Keep:
    """``NODES=PRECISION``; a name may have an equals sign itself."""
    layers, _, precision = text.rpartition("=")
    if precision not in {"FP32", "FP16", "INT8"} or not layers:
        raise UsageError(f"--keep {text!r}: expected NODES=PRECISION, the precision FP32, FP16 or INT8")
    if layers.startswith("[") and layers.endswith("]"):
        return Keep("", tuple(kind.strip() for kind in layers[1:-1].split(",")), Precision(precision))
    return Keep(layers, (), Precision(precision))
