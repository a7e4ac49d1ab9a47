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
    from modelbuild.stages import Answer, Job
    from modelbuild.store import Record

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
    trail: Iterable[tuple[Job, Record]],
) -> Entry:
    """``summary``, ``proof`` and ``latency`` are what those stages gave; ``trail`` all that led there."""
    counted = msgspec.json.decode(summary, type=Summary)
    measured, notes = (None, (_UNPROVED,)) if proof is None else _proof(proof)
    blobs = {name.replace("model", variant.model): output.blob for name, output in package.record.outputs.items()}
    artifact = _artifact(
        variant,
        status="built",
        files={name: File(sha256=blob.sha256, bytes=blob.size) for name, blob in sorted(blobs.items())},
        summary=counted,
        stages=tuple(_stages(trail)),
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


def _stages(trail: Iterable[tuple[Job, Record]]) -> Iterator[Stage]:
    """In the order in which they ran, each once."""
    seen: set[str] = set()
    for job, record in trail:
        if job.stage.name not in seen:
            seen.add(job.stage.name)
            yield Stage(name=job.stage.name, seconds=record.seconds)


def _proof(content: bytes) -> tuple[Proof | None, tuple[str, ...]]:
    said: dict[str, Any] = json.loads(content)
    if not said["proved"]:
        return None, (f"not proved: {said['why']}",)
    return Proof.read(said, against="onnxruntime"), ()


def _latencies(content: bytes | None) -> tuple[Latency, ...]:
    found = None if content is None else Latency.read(json.loads(content))
    return () if found is None else (found,)
