"""What may be written in a manifest: its mappings, each a type. The values in them are in `values`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from modelbuild.manifest import notation
from modelbuild.manifest.values import (
    UNIQUE,
    AxisNumber,
    Bounding,
    Content,
    DataName,
    DataPattern,
    DeviceName,
    Dimension,
    GroupSize,
    Id,
    IncludePattern,
    InputType,
    LayerPattern,
    LayerType,
    Layout,
    LocalPath,
    Member,
    Numbers,
    Octets,
    OperatorName,
    Outputs,
    PortName,
    Precisions,
    ProfileName,
    Ratio,
    Requirement,
    Runtime,
    Samples,
    Sha256,
    Share,
    Tag,
    TargetName,
    TargetNames,
    Tolerance,
    Url,
    WeightMode,
)
from modelbuild.targets import Precision
from modelbuild.targets.profile import Measure, TypeName


class _Entry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What all mappings of a manifest have in common."""


class Check(_Entry):
    """What each artifact has to keep to; one that does not fails, and is not delivered.

    'max_abs', 'max_rel' (a part of the largest number of that output), 'cosine' and 'top1' (in what part of the rows
    the largest number stands at the same place) hold every output against that of the source model. 'max_size' is that
    of the pair of files, 'max_latency_ratio' the time to answer, as a multiple of that in FP32. Rows run along the axis
    of classes: the last one, of four or more axes the second (NCHW), or 'top1_axis'.
    """

    max_abs: Tolerance | UnsetType = UNSET
    max_rel: Tolerance | UnsetType = UNSET
    cosine: Share | UnsetType = UNSET
    top1: Share | UnsetType = UNSET
    max_size: Octets | UnsetType = UNSET
    max_latency_ratio: Tolerance | UnsetType = UNSET
    top1_axis: AxisNumber | UnsetType = UNSET


class Reference(_Entry):
    """Inputs to hold the built model against its source on, as it takes them: '.npy', '.npz' with a name an input."""

    data: Annotated[list[DataPattern], Meta(min_length=1, extra_json_schema=UNIQUE)]
    samples: Samples | UnsetType = UNSET


class Calibration(_Entry):
    """Inputs as the built model takes them, to measure the ranges of activations on: '.npy', '.npz' or images.

    'preset', 'model_type' and 'fast_bias_correction' are nncf's.
    """

    data: Annotated[list[DataPattern], Meta(min_length=1, extra_json_schema=UNIQUE)]
    samples: Samples | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=0, le=notation.LARGEST_DIM, description="a seed, 0 or more")] | UnsetType = UNSET
    preset: Literal["performance", "mixed"] | UnsetType = UNSET
    model_type: Literal["transformer"] | UnsetType = UNSET
    fast_bias_correction: bool | UnsetType = UNSET


class Defaults(_Entry):
    """What holds for each model that does not say otherwise."""

    targets: TargetNames | UnsetType = UNSET
    precisions: Precisions | UnsetType = UNSET
    check: Check | UnsetType = UNSET


class Limit(_Entry):
    """A measure of nodes, and between what it must lie. No 'operators' are all operators."""

    measure: Measure
    operators: list[OperatorName] | UnsetType = UNSET
    at_least: Bounding | UnsetType = UNSET
    at_most: Bounding | UnsetType = UNSET
    multiple_of: Annotated[int, Meta(ge=1, le=2**31, description="a number from 1")] | UnsetType = UNSET


class Device(_Entry):
    """What is known of a device. What is not said holds as for the device that this is 'like', or is not limited.

    'plugin' is the runtime's device that it is used by; 'runtime' the last release that had it; 'fallback' a device
    for what this one does not take, in a team HETERO. 'takes' are all operators that it takes, 'lacks' those that it
    does not, each with the reason.
    """

    like: DeviceName | UnsetType = UNSET
    plugin: ProfileName | UnsetType = UNSET
    documented: str | UnsetType = UNSET
    runtime: Runtime | UnsetType = UNSET
    static_shapes: bool | UnsetType = UNSET
    precisions: Precisions | UnsetType = UNSET
    default_precision: Precision | UnsetType = UNSET
    types: list[TypeName] | UnsetType = UNSET
    input_types: list[TypeName] | UnsetType = UNSET
    output_types: list[TypeName] | UnsetType = UNSET
    layouts: list[Layout] | UnsetType = UNSET
    takes: list[OperatorName] | UnsetType = UNSET
    lacks: dict[OperatorName, str] | UnsetType = UNSET
    limits: list[Limit] | UnsetType = UNSET
    fallback: DeviceName | UnsetType = UNSET


class Target(_Entry):
    """A device under a name, with what holds for it; a built-in name may be given another meaning.

    'runtime' is the oldest release that has to read what is built. 'compile' adds what the device's own compiler makes
    of it, where that device is.
    """

    device: DeviceName
    static_shapes: bool | UnsetType = UNSET
    precisions: Precisions | UnsetType = UNSET
    runtime: Runtime | UnsetType = UNSET
    compile: bool | UnsetType = UNSET


class Source:
    """Where a model comes from: one of ``forms``, told apart by its first key."""

    forms: ClassVar[tuple[type[Struct], ...]] = ()


class PathSource(_Entry, Source):
    """A file of this repository. 'data' are further files beside it."""

    path: LocalPath
    sha256: Sha256 | UnsetType = UNSET
    data: Annotated[list[DataName], Meta(extra_json_schema=UNIQUE)] | dict[DataName, Sha256] | UnsetType = UNSET


class UrlSource(_Entry, Source):
    """A file to download. 'data' are further files beside it, each with its digest."""

    url: Url
    sha256: Sha256
    data: dict[DataName, Sha256] | UnsetType = UNSET


class PackageSource(_Entry, Source):
    """A file in a wheel of the package index. 'data' are further files beside it, each with its digest."""

    package: Requirement
    file: Member
    sha256: Sha256
    data: dict[DataName, Sha256] | UnsetType = UNSET


Source.forms = (PathSource, UrlSource, PackageSource)


class Input(_Entry):
    """What is known of an input, or shall hold for it.

    'shape' and 'layout' are those of the source; with 'type' and 'target_layout' the built model takes others. Behind
    them channels are reversed, then 'mean' is subtracted, then divided by 'scale'. 'value' makes it a constant,
    'rename' gives it another name in the built model.
    """

    shape: list[Dimension] | UnsetType = UNSET
    layout: Layout | UnsetType = UNSET
    type: InputType | UnsetType = UNSET
    target_layout: Layout | UnsetType = UNSET
    reverse_channels: bool | UnsetType = UNSET
    mean: Numbers | UnsetType = UNSET
    scale: Numbers | UnsetType = UNSET
    value: Content | UnsetType = UNSET
    rename: PortName | UnsetType = UNSET


class NamedInput(Input, kw_only=True):
    """An input in a list, which gives all inputs in their order; one in the middle of the source cuts it there."""

    name: PortName


class Exclusion(_Entry):
    """What is not built: a target, a precision, or one precision of one target."""

    target: TargetName | UnsetType = UNSET
    precision: Precision | UnsetType = UNSET


class LowLatency2(_Entry):
    """What recurrent states begin with: zeros, or what feeds them in the source."""

    use_const_initializer: bool | UnsetType = UNSET


class Transform(_Entry):
    """What is done to a model beyond optimising it.

    'low_latency2' keeps recurrent states in variables, for one step after the other; 'make_stateful' does so with
    inputs that take what an output gave the last time; 'pruning' takes out channels that are always zero.
    """

    low_latency2: bool | LowLatency2 | UnsetType = UNSET
    make_stateful: dict[PortName, PortName] | UnsetType = UNSET
    pruning: bool | UnsetType = UNSET


class Int8(_Entry):
    """How INT8 stores weights: in steps of one scale a channel; 'asym' has a zero point too."""

    mode: WeightMode | UnsetType = UNSET


class Int4(_Entry):
    """How INT4 stores weights: in steps of one scale for 'group_size' numbers, or for a channel if that is -1.

    'ratio' of the weights of matrix products get four bits, what those would hurt most eight. So do embeddings and the
    last product, unless it is 'all_layers'.
    """

    mode: WeightMode | UnsetType = UNSET
    group_size: GroupSize | UnsetType = UNSET
    ratio: Ratio | UnsetType = UNSET
    all_layers: bool | UnsetType = UNSET


class Weights(_Entry):
    """How the precisions that store weights as integers do it; the names are those of nncf and optimum."""

    int8: Int8 | UnsetType = UNSET
    int4: Int4 | UnsetType = UNSET


class Keep(_Entry):
    """Layers whose weights stay in a higher precision than the rest: those of a name, of a type, or of both."""

    nodes: LayerPattern | UnsetType = UNSET
    types: Annotated[list[LayerType], Meta(min_length=1, extra_json_schema=UNIQUE)] | UnsetType = UNSET
    precision: Literal["FP32", "FP16", "INT8"] | UnsetType = UNSET


class EntryPoint(_Entry):
    """An extension of an installed package: the name of its entry point in the group modelbuild.extensions."""

    entry_point: Annotated[str, Meta(min_length=1, description="the name of an entry point of modelbuild.extensions")]


class Model(_Entry):
    """A model and what to build from it."""

    source: Source
    framework: Literal["onnx"] | UnsetType = UNSET
    inputs: dict[PortName, Input] | list[NamedInput] | UnsetType = UNSET
    outputs: Outputs | UnsetType = UNSET
    batch: Annotated[int, Meta(ge=1, le=notation.LARGEST_DIM, description="a batch of 1 or more")] | UnsetType = UNSET
    static_shape: bool | UnsetType = UNSET
    transform: Transform | UnsetType = UNSET
    extensions: list[LocalPath | EntryPoint] | UnsetType = UNSET
    targets: TargetNames | UnsetType = UNSET
    precisions: Precisions | UnsetType = UNSET
    exclude: list[Exclusion] | UnsetType = UNSET
    weights: Weights | UnsetType = UNSET
    keep: Annotated[list[Keep], Meta(min_length=1)] | UnsetType = UNSET
    check: Check | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET
    calibration: Calibration | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(extra_json_schema=UNIQUE)] | UnsetType = UNSET
    license: (
        Annotated[str, Meta(min_length=1, max_length=200, description="a licence, as in Apache-2.0")] | UnsetType
    ) = UNSET


Version = Literal[1]
Models = dict[Id, Model]
Targets = dict[Id, Target]
Devices = dict[ProfileName, Device]
Include = Annotated[list[IncludePattern], Meta(extra_json_schema=UNIQUE)]


class Manifest(_Entry):
    """The models of a repository and what is built from them. Keys that start with 'x-' are free, for anchors."""

    version: Version
    models: Models
    defaults: Defaults | UnsetType = UNSET
    targets: Targets | UnsetType = UNSET
    devices: Devices | UnsetType = UNSET
    include: Include | UnsetType = UNSET


class IncludedFile(_Entry):
    """A file that a manifest includes."""

    models: Models | UnsetType = UNSET
    targets: Targets | UnsetType = UNSET
    devices: Devices | UnsetType = UNSET


SHIPPED = Path(__file__).with_name("models.schema.json")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, for editors and other tools. Loading checks more: names, paths, references."""

    def source(kind: type) -> dict[str, Any]:
        if kind is not Source:
            raise NotImplementedError
        return {"oneOf": [{"$ref": f"#/$defs/{form.__name__}"} for form in Source.forms]}

    types = (Manifest, *Source.forms)
    (top, *_), definitions = msgspec.json.schema_components(types, schema_hook=source, ref_template="#/$defs/{name}")
    definitions["Manifest"]["patternProperties"] = {"^x-": {}}
    definitions["Precision"]["enum"] = [form for name in Precision for form in (name.value, name.value.lower())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelbuild manifest",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """``json_schema()`` as it is shipped in ``models.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=2).decode() + "\n"
