"""A manifest as the engine sees it: every default spelled out, every name resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from modelbuild.manifest.quality import Calibration, Check, Reference
    from modelbuild.targets import Compression, Precision, Target
    from modelbuild.tensor.dtype import ElementType


@dataclass(frozen=True, slots=True)
class Bound:
    """A dimension between two numbers, both included; ``upper`` None: no limit."""

    lower: int
    upper: int | None

    def __str__(self) -> str:
        return f"{self.lower or ''}..{'' if self.upper is None else self.upper}"


Dim = int | Bound | None
"""A static, a bounded or a free dimension."""


Number = int | float


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the manifest says of one input; None, or nothing, is what it does not say.

    ``shape`` and ``layout``, one upper-case sign an axis, are those of the source model; ``target_layout`` and ``type``
    those of what is delivered. On the way between, channels are reversed, then ``mean`` is subtracted, then divided by
    ``scale``: one number, or one a channel. An input with a ``value`` is none any more: one number, or one an element.
    """

    name: str
    shape: tuple[Dim, ...] | None = None
    layout: str | None = None
    type: ElementType | None = None
    target_layout: str | None = None
    reverse_channels: bool = False
    mean: tuple[Number, ...] = ()
    scale: tuple[Number, ...] = ()
    value: tuple[Number, ...] | None = None

    @property
    def is_static(self) -> bool:
        """Whether every dimension is said, and is a number."""
        return self.shape is not None and all(isinstance(dim, int) for dim in self.shape)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A further file of a model.

    ``name`` is its place relative to the model file, ``/`` between folders; ``where`` is a path, URL or member like
    that of the source.
    """

    name: str
    where: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class PathSource:
    """``path`` is relative to the manifest's root, normalised, ``/`` between folders."""

    path: str
    sha256: str | None
    data: tuple[DataFile, ...]

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class UrlSource:
    url: str
    sha256: str
    data: tuple[DataFile, ...]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class PackageSource:
    """The member ``file`` of the wheel of ``name==version``; the digest is that of the member."""

    name: str
    version: str
    file: str
    sha256: str
    data: tuple[DataFile, ...]

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    def __str__(self) -> str:
        return f"{self.requirement} : {self.file}"


Source = PathSource | UrlSource | PackageSource


@dataclass(frozen=True, slots=True)
class LowLatency2:
    """Recurrent states become variables; they begin as zeros, or as what the model says."""

    use_const_initializer: bool = True


@dataclass(frozen=True, slots=True)
class Transform:
    """What is done to a model beyond optimising it; false where nothing is.

    ``make_stateful`` are pairs of an input and the output that gives its content the next time.
    """

    low_latency2: LowLatency2 | None = None
    make_stateful: tuple[tuple[str, str], ...] = ()
    pruning: bool = False

    def __bool__(self) -> bool:
        return self != Transform()


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What an installed package gives under this name in the group ``modelbuild.extensions``."""

    name: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What is not built: a target, a precision, or one precision of one target."""

    target: str | None
    precision: Precision | None

    def covers(self, target: Target, precision: Precision) -> bool:
        return self.target in (None, target.name) and self.precision in (None, precision)


@dataclass(frozen=True, slots=True)
class Variant:
    """One artifact to build."""

    model: str
    target: Target
    precision: Precision

    def __hash__(self) -> int:  # asked often; a target has much more to compare
        return hash((self.model, self.target.name, self.precision))

    def __str__(self) -> str:
        return f"{self.model}@{self.target.name}:{self.precision}"


@dataclass(frozen=True, slots=True)
class Model:
    """``framework`` None is to be inferred from the file; empty ``outputs`` are those that the file has.

    ``order`` names all inputs where the manifest gives them an order; ``batch`` None leaves them as they are.
    ``rename`` are inputs and outputs of the source, each with its new name. ``extensions`` are paths like those of
    sources. ``place`` is file and line of the model's id, for messages about it.
    """

    id: str
    framework: str | None
    source: Source
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    targets: tuple[Target, ...]
    precisions: tuple[Precision, ...]
    exclude: tuple[Exclusion, ...]
    tags: tuple[str, ...]
    license: str | None
    place: str
    compression: Compression
    order: tuple[str, ...] = ()
    batch: int | None = None
    static_shape: bool = False
    transform: Transform = Transform()
    extensions: tuple[str | EntryPoint, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    check: Check | None = None
    reference: Reference | None = None
    calibration: Calibration | None = None

    @property
    def source_framework(self) -> str:
        """ONNX is the only one so far, whatever the manifest leaves to the file."""
        return self.framework or "onnx"

    def variants(self) -> tuple[Variant, ...]:
        """Targets times precisions, less what a target does not allow and what is excluded; in the order written."""
        return tuple(
            Variant(self.id, target, precision)
            for target in self.targets
            for precision in self.precisions
            if precision in target.precisions and not any(e.covers(target, precision) for e in self.exclude)
        )


@dataclass(frozen=True)
class Manifest:
    """``models`` are in the order of their ids; ``root`` is the folder of the first of ``files``, no path leaves it."""

    root: Path
    files: tuple[Path, ...]
    models: Mapping[str, Model]

    def variants(self) -> tuple[Variant, ...]:
        return self._variants

    @cached_property
    def _variants(self) -> tuple[Variant, ...]:
        return tuple(variant for model in self.models.values() for variant in model.variants())
