"""How far an artifact is from its source model, and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

_ABS = "the largest difference between two elements"
_MEAN = "the mean difference of two elements"
_REL = "the largest difference, as a part of the largest number of the output"
_COSINE = "of the angle between the two outputs, taken as vectors"
_TOP1 = "in what part of the rows the largest element stands at the same place"


class Distance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An output beside that of the source model; null where it is no number, or nothing can be said."""

    max_abs: Annotated[float | None, Meta(description=_ABS)]
    mean_abs: Annotated[float | None, Meta(description=_MEAN)]
    max_rel_to_peak: Annotated[float | None, Meta(description=_REL)]
    cosine: Annotated[float | None, Meta(description=_COSINE)] = None
    top1: Annotated[float | None, Meta(description=_TOP1)] = None

    @staticmethod
    def of(measured: Mapping[str, float | None]) -> Distance:
        """An infinity or NaN is none."""
        return Distance(**{name: _finite(measured[name]) for name in Distance.__struct_fields__})


class Proof(Distance, frozen=True, kw_only=True):
    """How far the outputs are from what the source model answers; the numbers of the worst one, and those of each."""

    worst_output: str
    outputs: Annotated[dict[str, Distance], Meta(description="by name")]
    against: Annotated[str, Meta(description="what ran the source model")]
    examples: Annotated[int, Meta(ge=1, description="on how many inputs both were run")] = 1
    on: Annotated[str, Meta(description="what they were run on: 'noise', or the manifest's 'reference'")] = "noise"

    @classmethod
    def read(cls, said: Mapping[str, Any], *, against: str) -> Proof | None:
        """What the stage ``prove`` wrote down; None where it found nothing to compare."""
        if not said["proved"]:
            return None
        outputs = {name: Distance.of(measured) for name, measured in said["outputs"].items()}
        return cls(
            **structs.asdict(outputs[said["worst"]]),
            worst_output=said["worst"],
            outputs=outputs,
            against=against,
            examples=said["examples"],
            on=said["on"],
        )


class Latency(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time that one answer takes on a device, as it was measured when the artifact was first made."""

    device: Annotated[str, Meta(description="as the runtime calls it: CPU, GPU.1")]
    name: Annotated[str, Meta(description="the device's own name")]
    milliseconds: Annotated[float, Meta(ge=0, description="of the fastest run")]
    runs: Annotated[int, Meta(ge=1)]
    ratio: Annotated[
        float | None,
        Meta(description="as a multiple of the time in FP32, measured in turn with it; null if it was not"),
    ] = None

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Latency | None:
        """What the stage ``measure`` wrote down; None where there was nothing to run it on."""
        return cls(**{name: said[name] for name in cls.__struct_fields__}) if said["measured"] else None


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
