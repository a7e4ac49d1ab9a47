"""One model as written -> the model that is meant, and what contradicts itself in it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, Struct, UnsetType

from modelbuild.manifest import notation, schema
from modelbuild.manifest.model import (
    DataFile,
    Dim,
    EntryPoint,
    Exclusion,
    InputSpec,
    LowLatency2,
    Model,
    PackageSource,
    PathSource,
    Source,
    Transform,
    UrlSource,
)
from modelbuild.manifest.quality import Calibration, Check, Reference
from modelbuild.targets import Compression, Int4, Int8, Keep, Precision, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from modelbuild.manifest.nodes import Place

T = TypeVar("T")
D = TypeVar("D")

Path = tuple[str | int, ...]
"""Where below a model's node something is wrong."""


def said(value: T | UnsetType, default: D) -> T | D:
    return default if isinstance(value, UnsetType) else value


def resolve(
    name: str, place: Place, written: schema.Model, targets: Mapping[str, Target], defaults: schema.Defaults
) -> Model:
    """Every default spelled out. All targets that the model names are in ``targets``."""
    chosen = tuple(targets[target] for target in target_names(written, defaults))
    return Model(
        id=name,
        framework=said(written.framework, None),
        source=_source(written.source, place.file),
        inputs=tuple(_inputs(written.inputs)),
        outputs=tuple(said(written.outputs, ())),
        order=tuple(one.name for one in written.inputs) if isinstance(written.inputs, list) else (),
        batch=said(written.batch, None),
        static_shape=said(written.static_shape, False),
        transform=_transform(written.transform),
        rename=tuple(_renamed(written)),
        extensions=tuple(
            EntryPoint(one.entry_point) if isinstance(one, schema.EntryPoint) else beside(place.file, one)
            for one in said(written.extensions, ())
        ),
        check=_check(written.check, defaults.check),
        reference=_examples(Reference, written.reference, place.file),
        calibration=_examples(Calibration, written.calibration, place.file),
        targets=chosen,
        precisions=_precisions(written, defaults, chosen),
        exclude=tuple(Exclusion(said(e.target, None), said(e.precision, None)) for e in said(written.exclude, ())),
        compression=_compression(written),
        tags=tuple(said(written.tags, ())),
        license=said(written.license, None),
        place=f"{place.file}:{place.line}",
    )


DEFAULT_TARGETS = ("cpu",)


def _precisions(written: schema.Model, defaults: schema.Defaults, targets: tuple[Target, ...]) -> tuple[Precision, ...]:
    """Where nothing is said, those that are usual on the devices."""
    listed = said(said(written.precisions, defaults.precisions), ())
    return tuple(listed or dict.fromkeys(target.default_precision for target in targets))


def target_names(written: schema.Model, defaults: schema.Defaults) -> tuple[str, ...]:
    return tuple(said(said(written.targets, defaults.targets), DEFAULT_TARGETS))


def beside(file: str, path: str) -> str:
    """``path``, which starts in the folder of ``file``, from where ``file`` starts."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), path))


def contradictions(model: Model) -> Iterator[tuple[Path, str]]:
    """What cannot all be meant: the place below the model's node, and the problem."""
    yield from _inputs_against_themselves(model)
    yield from _inputs_against_targets(model)
    yield from _batch(model)
    yield from _matrix(model)
    yield from _kept(model)
    yield from _calibration(model)


def _source(written: schema.Source, file: str) -> Source:
    match written:
        case schema.PathSource():
            path = beside(file, written.path)
            digest = said(written.sha256, None)
            return PathSource(path, digest and digest.lower(), _data(written.data, lambda name: beside(path, name)))
        case schema.UrlSource():
            return UrlSource(written.url, written.sha256.lower(), _data(written.data, _beside_url(written.url)))
        case schema.PackageSource():
            name, version = notation.requirement(written.package)
            member = notation.inner_path(written.file)
            data = _data(written.data, lambda name: beside(member, name))
            return PackageSource(name, version, member, written.sha256.lower(), data)
    raise AssertionError(written)


def _beside_url(url: str) -> Callable[[str], str]:
    from urllib.parse import quote, urljoin

    return lambda name: urljoin(url, quote(name))


def _data(written: list[str] | dict[str, str] | UnsetType, where: Callable[[str], str]) -> tuple[DataFile, ...]:
    listed = said(written, {})
    digests = listed if isinstance(listed, dict) else dict.fromkeys(listed)
    names = ((notation.inner_path(name), digest) for name, digest in digests.items())
    return tuple(DataFile(name, where(name), digest and digest.lower()) for name, digest in names)


def _named_inputs(
    written: dict[str, schema.Input] | list[schema.NamedInput] | UnsetType,
) -> Iterable[tuple[str, schema.Input]]:
    if isinstance(written, UnsetType):
        return ()
    return written.items() if isinstance(written, dict) else [(one.name, one) for one in written]


def _inputs(written: dict[str, schema.Input] | list[schema.NamedInput] | UnsetType) -> Iterator[InputSpec]:
    for name, one in _named_inputs(written):
        shape = None if isinstance(one.shape, UnsetType) else tuple(map(_dimension, one.shape))
        yield InputSpec(
            name,
            shape,
            _layout(one.layout),
            _element_type(one.type),
            _layout(one.target_layout),
            said(one.reverse_channels, False),
            _numbers(one.mean),
            _numbers(one.scale),
            None if isinstance(one.value, UnsetType) else _numbers(one.value),
        )


def _renamed(written: schema.Model) -> Iterator[tuple[str, str]]:
    for name, one in _named_inputs(written.inputs):
        if not isinstance(one.rename, UnsetType):
            yield name, one.rename
    outputs = said(written.outputs, ())
    if isinstance(outputs, dict):
        yield from ((old, new) for old, new in outputs.items() if old != new)


def _transform(written: schema.Transform | UnsetType) -> Transform:
    if isinstance(written, UnsetType):
        return Transform()
    match said(written.low_latency2, False):
        case schema.LowLatency2() as one:
            low_latency2: LowLatency2 | None = LowLatency2(said(one.use_const_initializer, True))
        case asked:
            low_latency2 = LowLatency2() if asked else None
    pairs = said(written.make_stateful, {})
    return Transform(low_latency2, tuple(pairs.items()), said(written.pruning, False))


def _check(written: schema.Check | UnsetType, defaults: schema.Check | UnsetType) -> Check | None:
    """Limit by limit: what a model says, else what the defaults say."""
    limits = {**_given(defaults), **_given(written)}
    if isinstance(size := limits.get("max_size"), str):
        limits["max_size"] = notation.octets(size)
    return Check(**limits) if limits else None


def _examples(kind: type[T], written: schema.Reference | schema.Calibration | UnsetType, file: str) -> T | None:
    given = _given(written)
    if not given:
        return None
    given["data"] = tuple(beside(file, pattern) for pattern in given["data"])
    return kind(**given)


def _given(written: Struct | UnsetType) -> dict[str, Any]:
    """What was written of an entry."""
    if isinstance(written, UnsetType):
        return {}
    fields = ((name, getattr(written, name)) for name in written.__struct_fields__)
    return {name: value for name, value in fields if value is not UNSET}


def _compression(written: schema.Model) -> Compression:
    weights = said(written.weights, schema.Weights())
    keep = (
        Keep(said(one.nodes, ""), tuple(said(one.types, ())), Precision(said(one.precision, Precision.FP16)))
        for one in said(written.keep, ())
    )
    return Compression(Int8(**_given(weights.int8)), Int4(**_given(weights.int4)), tuple(keep))


def _layout(written: str | UnsetType) -> str | None:
    return None if isinstance(written, UnsetType) else "".join(notation.layout(written))


def _numbers(written: float | Sequence[float] | UnsetType) -> tuple[float, ...]:
    if isinstance(written, UnsetType):
        return ()
    return tuple(written) if isinstance(written, Sequence) else (written,)


def _dimension(written: int | str) -> Dim:
    return written if isinstance(written, int) else notation.dimension(written)


def _element_type(written: str | UnsetType) -> Any:
    if written is UNSET:
        return None
    # Late: this brings numpy, and most manifests leave the types to their models.
    from modelbuild.tensor.dtype import ElementType

    return ElementType(written)


def _inputs_against_themselves(model: Model) -> Iterator[tuple[Path, str]]:
    names = [spec.name for spec in model.inputs]
    for at, spec in enumerate(model.inputs):
        if spec.name in names[:at]:
            yield ("inputs", at), f"input {spec.name!r} is given twice"
        yield from _preparation(spec)
        if spec.layout is None or spec.shape is None:
            continue
        axes = notation.layout(spec.layout)
        if len(axes) != len(spec.shape) and ("..." not in axes or len(axes) - 1 > len(spec.shape)):
            yield (
                ("inputs", spec.name, "layout"),
                f"layout {spec.layout} does not fit input {spec.name!r} of {len(spec.shape)} dimensions",
            )


def _preparation(spec: InputSpec) -> Iterator[tuple[Path, str]]:
    """What is done to one input."""
    prepared = [key for key in ("mean", "scale", "reverse_channels", "target_layout") if getattr(spec, key)]
    if spec.value is not None and prepared:
        yield ("inputs", spec.name, prepared[0]), f"input {spec.name!r} has a value; nothing is done to it any more"
    if 0 in spec.scale:
        yield ("inputs", spec.name, "scale"), f"input {spec.name!r} cannot be divided by zero"
    if len(spec.mean) > 1 and len(spec.scale) > 1 and len(spec.mean) != len(spec.scale):
        yield (
            ("inputs", spec.name, "scale"),
            f"input {spec.name!r}: mean is for {len(spec.mean)} channels, scale for {len(spec.scale)}",
        )
    if spec.target_layout and (
        spec.layout is None or sorted(notation.layout(spec.layout)) != sorted(notation.layout(spec.target_layout))
    ):
        axes = f"the axes of layout {spec.layout}" if spec.layout else "a layout, whose axes it puts into another order"
        yield ("inputs", spec.name, "target_layout"), f"target_layout {spec.target_layout} needs {axes}"


def _inputs_against_targets(model: Model) -> Iterator[tuple[Path, str]]:
    for target in model.targets:
        if not target.static_shapes or all(variant.target != target for variant in model.variants()):
            continue
        for spec in model.inputs:
            if spec.shape is not None and not spec.is_static:
                shape = ", ".join("?" if dim is None else str(dim) for dim in spec.shape)
                yield (
                    ("inputs", spec.name, "shape"),
                    f"target '{target}' takes static shapes only, input {spec.name!r} has [{shape}]",
                )


def _batch(model: Model) -> Iterator[tuple[Path, str]]:
    shaped = [spec.name for spec in model.inputs if spec.shape is not None]
    if model.batch is not None and shaped:
        yield ("batch",), f"input {shaped[0]!r} has a shape; write the batch into it"


def _matrix(model: Model) -> Iterator[tuple[Path, str]]:
    asked = " and ".join(model.precisions)
    for target in model.targets:
        if not set(target.precisions) & set(model.precisions):
            allowed = " and ".join(target.precisions)
            yield ("targets",), f"nothing is left for target '{target}': it allows {allowed}, the model is in {asked}"
    for at, exclusion in enumerate(model.exclude):
        if exclusion == Exclusion(None, None):
            yield ("exclude", at), "this excludes everything: name a target, a precision, or both"
        elif not any(exclusion.covers(target, precision) for target in model.targets for precision in model.precisions):
            targets = ", ".join(target.name for target in model.targets)
            yield ("exclude", at), f"this excludes nothing: the model is for {targets} in {asked}"
    if model.exclude and Exclusion(None, None) not in model.exclude and not model.variants():
        yield ("exclude",), "nothing is left to build"


def _calibration(model: Model) -> Iterator[tuple[Path, str]]:
    calibrated = [precision for precision in model.precisions if precision.is_calibrated]
    if calibrated and model.calibration is None:
        yield (
            ("precisions",),
            f"activations are quantised for {' and '.join(calibrated)}: say with 'calibration' on which data their "
            "ranges are to be measured",
        )
    if model.calibration is not None and not calibrated:
        asked = " and ".join(model.precisions)
        yield ("calibration",), f"no precision needs it: the model is in {asked}; it is for FP16-INT8 and FP32-INT8"


def _kept(model: Model) -> Iterator[tuple[Path, str]]:
    for at, rule in enumerate(model.compression.keep):
        if not rule.nodes and not rule.types:
            yield ("keep", at), "this keeps everything: name nodes, types, or both"
