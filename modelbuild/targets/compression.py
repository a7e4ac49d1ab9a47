"""How weights are stored in fewer bits, and which are not; the names are those of nncf and optimum."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from modelbuild.targets.precision import Precision

Mode = Literal["asym", "sym"]

_INTEGERS: Final = (Precision.INT8, Precision.INT4)

PER_CHANNEL: Final = -1
"""The ``group_size`` of scales that hold for a whole channel."""


@dataclass(frozen=True, slots=True)
class Int8:
    """One scale a channel; ``asym`` with a zero point, ``sym`` without."""

    mode: Mode = "asym"


@dataclass(frozen=True, slots=True)
class Int4:
    """One scale for each ``group_size`` numbers of a channel.

    ``ratio`` is how much of the weights of matrix products gets INT4; what that would hurt most gets INT8. The last
    product and what is looked up in, an embedding, get INT8 unless it is ``all_layers``.
    """

    mode: Mode = "sym"
    group_size: int = 128
    ratio: float = 1.0
    all_layers: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Layers whose weights stay in ``precision``, where the artifact's own is lower.

    ``nodes`` is a pattern that a name must fit, ``types`` are operators of which a layer must be one; each holds for
    all where it is empty.
    """

    nodes: str
    types: tuple[str, ...]
    precision: Precision

    def holds_for(self, names: tuple[str, ...], types: tuple[str, ...]) -> bool:
        """Whether a layer that goes by these names and types is meant."""
        named = not self.nodes or any(fnmatchcase(name, self.nodes) for name in names)
        return named and (not self.types or any(kind in self.types for kind in types))

    def __str__(self) -> str:
        return " ".join(filter(None, (self.nodes, f"[{', '.join(self.types)}]" if self.types else "")))


@dataclass(frozen=True, slots=True)
class Compression:
    """What holds for all artifacts of a model, as far as their precision asks for it."""

    int8: Int8 = Int8()
    int4: Int4 = Int4()
    keep: tuple[Keep, ...] = ()

    def plain(self, precision: Precision) -> dict[str, Any]:
        """What artifacts of ``precision`` depend on, as plain data for a key."""
        used = {Precision.INT8: {"int8"}, Precision.INT4: {"int8", "int4"}}.get(precision, set())
        rules = [
            {**asdict(rule), "types": list(rule.types), "precision": str(rule.precision)}
            for rule in self.keep
            if not (precision.is_calibrated and rule.precision in _INTEGERS)  # all is at least that by now
        ]
        return {"keep": rules, **{name: asdict(getattr(self, name)) for name in sorted(used)}}
