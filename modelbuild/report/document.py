"""What ``build/report.json`` holds: its objects. Their text is in `text`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelbuild.report.proof import Latency, Proof
from modelbuild.report.summary import Natural, Summary

FORMAT: Literal[1] = 1

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Limits = Annotated[dict[str, float], Meta(description="as in the manifest's 'check'")]


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """What all objects of a report have in common."""


class File(_Entry, frozen=True, kw_only=True):
    """A file's content."""

    sha256: Sha256
    bytes: Natural


class Source(_Entry, frozen=True, kw_only=True):
    """Where a model comes from. 'origin' is what the manifest says: a path, a URL, or a package and a file in it."""

    framework: str
    origin: str
    files: Annotated[dict[str, File], Meta(description="by name, relative to the model's own file")]
    license: str | None = None
    tags: tuple[str, ...] = ()
    limits: Limits = {}


class Stage(_Entry, frozen=True, kw_only=True):
    """A step of a build, and how long it took when it was made."""

    name: str
    seconds: Annotated[float, Meta(ge=0)]


class Artifact(_Entry, frozen=True, kw_only=True):
    """One model built for one target in one precision, or what came of trying."""

    model: str
    target: str
    device: str
    precision: str
    status: Literal["built", "failed"]
    files: Annotated[dict[str, File], Meta(description="what was delivered, by name")] = {}
    compiled: Annotated[dict[str, File], Meta(description="what the device's own compiler made of it, by name")] = {}
    summary: Summary | None = None
    stages: Annotated[tuple[Stage, ...], Meta(description="in the order in which they run")] = ()
    pair: Annotated[Natural | None, Meta(description="bytes of the IR, delivered or not")] = None
    proof: Proof | None = None
    latencies: Annotated[tuple[Latency, ...], Meta(description="on the devices that were there")] = ()
    notes: tuple[str, ...] = ()
    errors: Annotated[tuple[str, ...], Meta(description="why it failed, the gist first")] = ()

    @property
    def size(self) -> int:
        """Bytes of the pair that is the IR."""
        return sum(file.bytes for name, file in self.files.items() if name.endswith((".xml", ".bin")))

    @property
    def variant(self) -> tuple[str, str]:
        return self.target, self.precision


class Choice(_Entry, frozen=True, kw_only=True):
    """The precisions of a model for a target, held against what its answers may differ."""

    model: str
    target: str
    tolerance: Limits
    said_by: Annotated[Literal["manifest", "default"], Meta(description="where the tolerance comes from")]
    among: Annotated[int, Meta(ge=1, description="how many precisions were measured")]
    exceeded: Annotated[dict[str, tuple[str, ...]], Meta(description="precision -> how it exceeds the tolerance")]
    smallest: Annotated[str | None, Meta(description="the smallest precision within the tolerance")] = None


class Report(_Entry, frozen=True, kw_only=True):
    """Everything that a manifest asks for, as it stands."""

    format: Literal[1] = FORMAT
    sources: Annotated[dict[str, Source], Meta(description="by model")]
    artifacts: tuple[Artifact, ...]
    choices: Annotated[tuple[Choice, ...], Meta(description="by model and target")] = ()
