"""What a manifest says of how good an artifact has to be, and of the data that show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SAMPLES: Final = 32
"""How many reference examples are run when the manifest does not say."""


@dataclass(frozen=True, slots=True)
class Check:
    """Limits; None is one that is not set.

    The first four hold each output against that of the source model: the largest difference, the same as a part of the
    output's largest number, the cosine of the angle between the two, and in what part of the rows the largest number
    stands at the same place. ``max_size`` is in bytes, of the pair; ``max_latency_ratio`` a multiple of FP32's time.

    ``top1_axis`` limits nothing: it is the axis along which rows run.
    """

    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    top1: float | None = None
    max_size: int | None = None
    max_latency_ratio: float | None = None
    top1_axis: int | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Check:
        return cls(**plain)

    @property
    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_empty(self) -> bool:
        return all(getattr(self, field.name) is None for field in fields(self))

    @property
    def needs_proof(self) -> bool:
        """Whether a limit is set that only running the artifact can tell of."""
        return not self.tolerance.is_empty or self.max_latency_ratio is not None

    @property
    def tolerance(self) -> Check:
        """What of it is about numbers: how far an answer may be from the source's."""
        return Check(self.max_abs, self.max_rel, self.cosine, self.top1)


@dataclass(frozen=True, slots=True)
class Reference:
    """Inputs to hold an artifact against its source on, instead of noise.

    ``data`` are paths and patterns from the manifest's root, ``samples`` how many examples are run at most.
    """

    data: tuple[str, ...]
    samples: int = DEFAULT_SAMPLES


@dataclass(frozen=True, slots=True)
class Calibration:
    """The examples on which the ranges of activations are measured, and how; words and defaults are nncf's.

    ``data`` may also be images. Which ``samples`` of them are taken, ``seed`` decides.
    """

    data: tuple[str, ...]
    samples: int = 300
    seed: int = 0
    preset: str | None = None
    model_type: str | None = None
    fast_bias_correction: bool = True

    @property
    def plain(self) -> dict[str, Any]:
        """How, without which files: what they hold is in a key by itself."""
        return {name: value for name, value in asdict(self).items() if name != "data"}
