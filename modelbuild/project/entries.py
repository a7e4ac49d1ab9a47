"""What a report says of an artifact: a function of what the store has recorded, noted when the artifact is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from modelbuild.manifest import Model, Variant
from modelbuild.report.document import Artifact, File, Source, Stage
from modelbuild.report.proof import Latency, Proof
from modelbuild.report.summary import Summary

if TYPE_CHECKING:
    from modelbuild.fetch import FetchedFile
    from modelbuild.stages import Answer, Forecast

_UNPROVED = "not proved: openvino and onnxruntime are not both installed"


class Entry(msgspec.Struct, frozen=True):
    """What a report says of an artifact and of the model that it was made of."""

    artifact: Artifact
    source: Source


_DECODER = msgspec.json.Decoder(Entry)


def entry(
    variant: Variant,
    source: Source,
    package: Answer,
    *,
    summary: bytes,
    proof: bytes | None,
    latency: bytes | None,
    jobs: Iterable[Forecast],
) -> Entry:
    """``summary``, ``proof`` and ``latency`` are what those stages gave; ``jobs`` the last ones of all asked for."""
    counted = msgspec.json.decode(summary, type=Summary)
    measured, notes = (None, (_UNPROVED,)) if proof is None else _proof(proof)
    blobs = {name.replace("model", variant.model): output.blob for name, output in package.record.outputs.items()}
    artifact = _artifact(
        variant,
        status="built",
        files={name: File(sha256=blob.sha256, bytes=blob.size) for name, blob in sorted(blobs.items())},
        summary=counted,
        stages=tuple(_stages(jobs)),
        pair=sum(blob.size for name, blob in blobs.items() if name.endswith((".xml", ".bin"))),
        proof=measured,
        latencies=_latencies(latency),
        notes=(*counted.notes, *notes),
    )
    return Entry(artifact, source)


def encode(said: Entry) -> bytes:
    return msgspec.json.encode(said, order="sorted")


def decode(note: bytes) -> Entry | None:
    """None if another version wrote it."""
    try:
        return _DECODER.decode(note)
    except msgspec.ValidationError:
        return None


def failed(variant: Variant, errors: Sequence[str]) -> Artifact:
    return _artifact(variant, status="failed", errors=tuple(errors))


def source_of(model: Model, framework: str, files: Sequence[FetchedFile]) -> Source:
    return Source(
        framework=framework,
        origin=str(model.source),
        files={file.name: File(sha256=file.sha256, bytes=file.path.stat().st_size) for file in files},
        license=model.license,
        tags=model.tags,
    )


def _artifact(variant: Variant, **said: Any) -> Artifact:
    target = variant.target
    return Artifact(
        model=variant.model, target=str(target), device=target.device, precision=str(variant.precision), **said
    )


def _stages(jobs: Iterable[Forecast]) -> Iterator[Stage]:
    """What led to an artifact, in the order in which it ran, each once."""
    seen: set[str] = set()

    def follow(forecast: Forecast) -> Iterator[Stage]:
        for earlier in forecast.before.values():
            yield from follow(earlier)
        name = forecast.job.stage.name
        if forecast.record is not None and name not in seen:
            seen.add(name)
            yield Stage(name=name, seconds=forecast.record.seconds)

    for last in jobs:
        yield from follow(last)


def _proof(content: bytes) -> tuple[Proof | None, tuple[str, ...]]:
    said: dict[str, Any] = json.loads(content)
    if not said["proved"]:
        return None, (f"not proved: {said['why']}",)
    return Proof.read(said, against="onnxruntime"), ()


def _latencies(content: bytes | None) -> tuple[Latency, ...]:
    found = None if content is None else Latency.read(json.loads(content))
    return () if found is None else (found,)
