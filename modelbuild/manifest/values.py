"""The values that stand in a manifest: types with the words that both the JSON Schema and the messages use.

``Meta.description`` completes the sentence "expected …"; ``extra["check"]`` is a notation the text must follow;
``extra["link"]`` says what a text refers to, which can only be looked up when all files are read.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from modelbuild.manifest import notation
from modelbuild.targets import Precision, release

UNIQUE = {"uniqueItems": True}

Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        max_length=100,
        description="a name of a-z, 0-9, '.', '_' and '-' that starts with a letter or a digit, at most 100 long",
        extra={"check": notation.folder_name},
    ),
]
TargetName = Annotated[
    str,
    Meta(
        description="the name of a target: cpu, gpu, npu, auto, gna, myriad, hddl or one of 'targets'",
        extra={"link": "target"},
    ),
]
DeviceName = Annotated[
    str, Meta(min_length=1, description="a device, as in CPU, GPU.1 or HETERO:GPU,CPU, or one of 'devices'")
]
ProfileName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z][A-Z0-9_]*$",
        max_length=100,
        description="a name of A-Z, 0-9 and '_' that starts with a letter, at most 100 long",
    ),
]
_RELEASE = "a release of the runtime, as in 2023.0"
Runtime = Annotated[
    Annotated[float, Meta(description=_RELEASE, extra={"check": release})]
    | Annotated[str, Meta(pattern=r"^20[0-9]{2}\.[0-9](\.[0-9])?$", description=_RELEASE, extra={"check": release})],
    Meta(description=_RELEASE),
]
Bounding = Annotated[int, Meta(ge=0, le=2**31, description="a number from 0")]
OperatorName = Annotated[str, Meta(min_length=1, description="an operator by its name in the IR, as in MatMul")]
Tag = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="a tag of letters, digits, '.', '_', '-'"
    ),
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$", description="a sha256, 64 hexadecimal digits")]
LocalPath = Annotated[
    str,
    Meta(
        min_length=1,
        description="a path relative to this file, with / between folders, that stays below the first manifest",
        extra={"check": notation.relative_path, "link": "path"},
    ),
]
IncludePattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="a path or a pattern such as models/*/model.yaml, relative to this file",
        extra={"check": notation.inner_path},
    ),
]
DataName = Annotated[
    str,
    Meta(
        min_length=1,
        description="the path of a further file of the model, relative to the model's own file",
        extra={"check": notation.inner_path},
    ),
]
Member = Annotated[
    str, Meta(min_length=1, description="the path of a file in the wheel", extra={"check": notation.inner_path})
]
Url = Annotated[str, Meta(min_length=1, description="a URL: https, http or file", extra={"check": notation.url})]
Requirement = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[^=]+$",
        description="a package with its exact version, as in rapidocr-onnxruntime==1.4.4",
        extra={"check": notation.requirement},
    ),
]
_SIZE = f"1 to {notation.LARGEST_DIM}, or '?' for any number"
Dimension = Annotated[
    Annotated[int, Meta(ge=1, le=notation.LARGEST_DIM, description=_SIZE)]
    | Annotated[
        str,
        Meta(
            pattern=r"^(\?|[0-9]+\.\.[0-9]*|\.\.[0-9]+)$",
            description="a dimension: a number, '?' for any, or a range such as 1..8, ..8 or 1..",
            extra={"check": notation.dimension},
        ),
    ],
    Meta(description="a dimension: a number, '?' for any, or a range such as 1..8, ..8 or 1.."),
]
Layout = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z?]|\.\.\.)+$",
        description="a layout: a letter an axis as in NCHW, '?' for any axis, '...' for several",
        extra={"check": notation.layout},
    ),
]
PortName = Annotated[str, Meta(min_length=1, description="the name of an input or output of the model")]
Number = Annotated[float, Meta(description="a number")]
Numbers = Annotated[
    Number | Annotated[list[Number], Meta(min_length=1)],
    Meta(description="a number, or a list of one number a channel"),
]
Content = Annotated[
    bool | Number | Annotated[list[bool | Number], Meta(min_length=1)],
    Meta(description="a number or truth value, or a list of one an element"),
]
InputType = Literal[
    "f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "boolean", "string"
]
Outputs = Annotated[
    Annotated[list[PortName], Meta(min_length=1, extra_json_schema=UNIQUE)] | dict[PortName, PortName],
    Meta(description="a list of the outputs, or a mapping of each to another name"),
]
TargetNames = Annotated[list[TargetName], Meta(min_length=1, extra_json_schema=UNIQUE)]
Precisions = Annotated[list[Precision], Meta(min_length=1, extra_json_schema=UNIQUE)]
Tolerance = Annotated[float, Meta(ge=0, description="a number that is not negative")]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
_OCTETS = "a size: a number of bytes, or a text such as 500kB, 20MB or 1.5GB"
Octets = Annotated[
    Annotated[int, Meta(ge=0, description=_OCTETS)]
    | Annotated[
        str, Meta(pattern=r"^[0-9]+(\.[0-9]+)? ?[kMGT]?B?$", description=_OCTETS, extra={"check": notation.octets})
    ],
    Meta(description=_OCTETS),
]
DataPattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="a path or a pattern such as data/*.npz, relative to this file",
        extra={"check": notation.relative_path, "link": "path"},
    ),
]
AxisNumber = Annotated[int, Meta(ge=-8, le=7, description="the number of an axis, from the end if negative")]
Samples = Annotated[int, Meta(ge=1, le=100_000, description="a number of examples from 1 to 100000")]


LayerPattern = Annotated[
    str, Meta(min_length=1, max_length=500, description="the name of a layer, or a pattern such as */lm_head/*")
]
LayerType = Annotated[
    str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100, description="an operator, as in MatMul or Conv")
]
WeightMode = Literal["asym", "sym"]
GroupSize = Annotated[
    Literal[-1, 16, 32, 64, 128, 256, 512, 1024],
    Meta(description="-1 for a whole channel, or a power of two from 16 to 1024"),
]
Ratio = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
