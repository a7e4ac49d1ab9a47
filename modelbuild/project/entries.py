"""What a report says of an artifact: a function of what the store has recorded, noted when the artifact is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelbuild.manifest import Model, Variant
from modelbuild.report.document import Artifact, File, Source, Stage
from modelbuild.report.proof import Latency, Proof
from modelbuild.report.summary import Summary

if TYPE_CHECKING:
    from modelbuild.fetch import FetchedFile
    from modelbuild.stages import Step
    from modelbuild.store import Blob
    from modelbuild.targets import Target

_FAITHFUL: Final = 0.99
"""The cosine below which it is told what became of an artifact whose activations have eight bits."""

_NO_RUNTIMES = "openvino and onnxruntime are not both installed"


class Entry(msgspec.Struct, frozen=True):
    """What a report says of an artifact and of the model that it was made of."""

    artifact: Artifact
    source: Source


_DECODER = msgspec.json.Decoder(Entry)
_SUMMARY = msgspec.json.Decoder(Summary)


@dataclass(frozen=True, slots=True)
class Measured:
    """The bytes of a pair, and what the stages ``prove`` and ``measure`` gave, as far as they could be asked."""

    pair: int
    proof: str | None
    latency: str | None


def entry(
    variant: Variant,
    source: Source,
    files: Mapping[str, Blob],
    measured: Measured,
    *,
    compiled: Mapping[str, Blob],
    summary: str,
    steps: Iterable[Step],
) -> Entry:
    """``files`` are those delivered, ``compiled`` what the device's own compiler made; ``steps`` led there.

    ``summary`` is what ``describe`` gave.
    """
    counted, judged = _SUMMARY.decode(summary), _measurements(measured)
    artifact = _artifact(
        variant,
        status="built",
        files=_digested(files),
        compiled=_digested(compiled),
        summary=counted,
        stages=tuple(Stage(name=step.stage, seconds=step.seconds) for step in steps),
        notes=(
            *counted.notes,
            *_why_unproved(measured.proof),
            *_what_eight_bits_left(variant, judged["proof"]),
            *_unverified(variant.target),
        ),
        **judged,
    )
    return Entry(artifact, source)


def remarks(variant: Variant, artifact: Artifact) -> tuple[str, ...]:
    """The notes of an artifact itself: not those that all have of a device, or on a machine without the runtimes."""
    common = {*_unverified(variant.target), *_why_unproved(None)}
    return tuple(note for note in artifact.notes if note not in common)


def _digested(blobs: Mapping[str, Blob]) -> dict[str, File]:
    return {name: File(sha256=blob.sha256, bytes=blob.size) for name, blob in sorted(blobs.items())}


def encode(said: Entry) -> bytes:
    return msgspec.json.encode(said, order="sorted")


def decode(note: bytes) -> Entry | None:
    """None if another version wrote it."""
    try:
        return _DECODER.decode(note)
    except msgspec.ValidationError:
        return None


def failed(variant: Variant, errors: Sequence[str], measured: Measured | None = None) -> Artifact:
    """``measured`` is known where an artifact was made, but exceeds a limit."""
    known = {} if measured is None else _measurements(measured)
    return _artifact(variant, status="failed", errors=tuple(errors), **known)


def source_of(model: Model, files: Sequence[FetchedFile]) -> Source:
    return Source(
        framework=model.source_framework,
        origin=str(model.source),
        files={file.name: File(sha256=file.sha256, bytes=file.path.stat().st_size) for file in files},
        license=model.license,
        tags=model.tags,
        limits=_limits(model),
    )


def _artifact(variant: Variant, **said: Any) -> Artifact:
    target = variant.target
    return Artifact(
        model=variant.model, target=str(target), device=target.device, precision=str(variant.precision), **said
    )


def _measurements(measured: Measured) -> dict[str, Any]:
    """The fields of an artifact that say how good it is."""
    proof = None if measured.proof is None else Proof.read(json.loads(measured.proof), against="onnxruntime")
    latency = None if measured.latency is None else Latency.read(json.loads(measured.latency))
    return {"pair": measured.pair, "proof": proof, "latencies": () if latency is None else (latency,)}


def _unverified(target: Target) -> tuple[str, ...]:
    """What is documented of a device may differ from what it does."""
    if target.is_verified:
        return ()
    sources = "; ".join(dict.fromkeys(one.documented for one in target.profiles if not one.verified))
    return (f"the profile of {target.device} is not verified on a plugin; it follows {sources}",)


def _what_eight_bits_left(variant: Variant, proof: Proof | None) -> Iterator[str]:
    """Where ranges that nncf measured lose a model's answers, it has to be told: nothing failed."""
    if proof is None or not variant.precision.is_calibrated:
        return
    for name, distance in sorted(proof.outputs.items()):
        if distance.cosine is not None and distance.cosine < _FAITHFUL:
            yield (
                f"eight bits leave little of output {name!r}: the cosine to the source's is {distance.cosine:.3g} on "
                f"{proof.on}, with the ranges that nncf measured; examples that are like real inputs may help, 'keep' "
                "for some layers, or 'preset' and 'model_type' of 'calibration'"
            )


def _why_unproved(proof: str | None) -> tuple[str, ...]:
    said: dict[str, Any] = {"proved": False} if proof is None else json.loads(proof)
    return () if said["proved"] else (f"not proved: {said.get('why', _NO_RUNTIMES)}",)


def _limits(model: Model) -> dict[str, float]:
    plain = {} if model.check is None else model.check.plain
    return {name: limit for name, limit in plain.items() if limit is not None}
