"""What a graph holds, counted."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

UNKNOWN_EXTENT = "?"
"""Stands among the assumptions for dimensions and iterations that have no name."""

Natural = Annotated[int, Meta(ge=0)]


class Port(Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """An input or output. 'layout' is empty where nothing is known of the axes."""

    name: str
    type: Annotated[str, Meta(description="the element type, as OpenVINO spells it")]
    shape: Annotated[str, Meta(description="as in [1,3,H,W<1..8>], [...] where the rank is open")]
    layout: str = ""


class Summary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph at a glance. What it says of nodes counts those of bodies (If, Loop) too."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: Annotated[Natural, Meta(description="operations without inputs and constants")]
    operators: Annotated[dict[str, Natural], Meta(description="how many there are of each type of operation")]
    parameters: Annotated[Natural, Meta(description="numbers that were learned: real constants, and quantised ones")]
    weight_bytes: Annotated[dict[str, Natural], Meta(description="bytes of the constants of each element type")]
    macs: Annotated[Natural, Meta(description="multiplications with additions of one run")]
    macs_assume: Annotated[
        tuple[str, ...], Meta(description="symbols that were taken to be 1 for 'macs'; '?' are those without a name")
    ]
    notes: Annotated[tuple[str, ...], Meta(description="what a person should know of the conversion")] = ()
