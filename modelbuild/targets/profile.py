"""What is known of a device, as data: one file a device in ``profiles/``, or an entry of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from modelbuild.errors import Bug
from modelbuild.targets.precision import Precision

FOLDER: Final = Path(__file__).with_name("profiles")

TypeName = Literal[
    "f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "boolean", "string",
    "u1", "u2", "u3", "u4", "u6", "i4", "nf4", "f8e4m3", "f8e5m2", "f8e8m0", "f4e2m1",
]  # fmt: skip
"""An element type by its name in the IR."""

Measure = Literal[
    "batch",
    "dilation",
    "exchanged",
    "groups",
    "open_inputs",
    "open_operands",
    "output_channels",
    "rank",
    "slopes",
    "spatial_axes",
]
"""What of a node is limited; `modelbuild.passes.measures` says how each is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A measure of nodes, and between what it must lie. No operators are all operators."""

    measure: Measure
    operators: tuple[str, ...] = ()
    at_least: int | None = None
    at_most: int | None = None
    multiple_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A device. Of what is not said, it takes all: no ``types`` are all types, no ``takes`` all operators.

    ``plugin`` is what the runtime calls it; ``runtime`` the last release that had it. ``verified`` says that the
    profile is held against the runtime's own answers. ``fallback`` is the device that runs what this one does not
    take, in a team ``HETERO``. Operators and types go by their names in the IR, ``lacks`` says why.
    """

    name: str
    plugin: str = ""
    documented: str = ""
    verified: bool = False
    runtime: str | None = None
    static_shapes: bool = False
    precisions: tuple[Precision, ...] = tuple(Precision)
    default_precision: Precision = Precision.FP16
    types: tuple[TypeName, ...] = ()
    input_types: tuple[TypeName, ...] = ()
    output_types: tuple[TypeName, ...] = ()
    layouts: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    fallback: str = ""


@cache
def shipped_names() -> tuple[str, ...]:
    """The devices of which a profile is shipped."""
    return tuple(sorted(path.stem.upper() for path in FOLDER.glob("*.json")))


@cache
def shipped(name: str) -> Profile:
    """The shipped profile of a device that has one."""
    # Late: a help text names devices and reads none.
    import msgspec

    path = FOLDER / f"{name.lower()}.json"
    try:
        plain = msgspec.json.decode(path.read_bytes())
        found = msgspec.convert(plain, Profile)
    except (msgspec.DecodeError, TypeError) as error:
        raise Bug(f"{path}: {error}") from error
    if unknown := sorted(_unknown(plain)):
        raise Bug(f"{path}: unknown {', '.join(unknown)}")
    if found.name != name:
        raise Bug(f"{path}: the profile of {found.name}")
    return found


def _unknown(plain: dict[str, Any]) -> Iterator[str]:
    """Keys that a profile, or one of its limits, has not."""
    yield from plain.keys() - {one.name for one in fields(Profile)}
    for limit in plain.get("limits", ()):
        yield from limit.keys() - {one.name for one in fields(Limit)}
