"""``ai.onnx.ml``: what prepares features and labels."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Strings
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.scores import ML, as_real, features, place_of, real_list, string_at
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.storage import Tensor


@onnx.op("Scaler", domain=ML)
def scaler(build: Build, x: Value, *, offset: Floats = (), scale: Floats = ()) -> Value:
    y = as_real(build, x)
    if offset:
        y = build(ops.Subtract(), y, real_list(build, offset))
    return build(ops.Multiply(), y, real_list(build, scale)) if scale else y


@onnx.op("Normalizer", domain=ML)
def normalizer(build: Build, x: Value, *, norm: str = "MAX") -> Value:
    """Rows over their largest element, sum or length; a row that has none stays."""
    x, last = as_real(build, x), build.ints(-1)
    match norm:
        case "MAX":
            size = build(ops.ReduceMax(keep_dims=True), x, last)
        case "L1":
            size = build(ops.ReduceL1(keep_dims=True), x, last)
        case "L2":
            size = build(ops.ReduceL2(keep_dims=True), x, last)
        case _:
            raise ValueError(f"the norm {norm!r} is none of MAX, L1 and L2")
    nothing = build(ops.Equal(), size, number(build, 0, size))
    return build(ops.Divide(), x, build(ops.Select(), nothing, number(build, 1, size), size))


@onnx.op("Binarizer", domain=ML)
def binarizer(build: Build, x: Value, *, threshold: float = 0.0) -> Value:
    above = build(ops.Greater(), as_real(build, x), build.scalar(threshold, ElementType.f32))
    return build(ops.Convert(x.fact.dtype), above)


@onnx.op("Imputer", domain=ML)
def imputer(
    build: Build, x: Value, *,
    imputed_value_floats: Floats = (), imputed_value_int64s: Ints = (), replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Value:  # fmt: skip
    dtype = x.fact.dtype
    values: Floats | Ints = imputed_value_floats if dtype.is_real else imputed_value_int64s
    if not values:
        raise ValueError(f"nothing of the type {dtype} is to be put in")
    if not dtype.is_real:
        missing = build(ops.Equal(), x, build.scalar(replaced_value_int64, dtype))
    elif np.isnan(replaced_value_float):
        missing = build(ops.IsNaN(), x)
    else:
        missing = build(ops.Equal(), x, build.scalar(replaced_value_float, dtype))
    return build(ops.Select(), missing, build.const(np.array(values, dtype.numpy)), x)


@onnx.op("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(build: Build, x: Value, y: Value) -> Value:
    """Columns of ``x``; of a list, one row of its elements."""
    places = build(ops.Reshape(), y, build.ints(-1))
    return build(ops.Gather(), features(build, x), places, build.scalar(-1))


@onnx.op("FeatureVectorizer", domain=ML)
def feature_vectorizer(build: Build, x: Value, *others: Value, inputdimensions: Ints = ()) -> Value:
    del inputdimensions
    return build(ops.Concat(1), *(as_real(build, features(build, v)) for v in (x, *others)))


@onnx.op("OneHotEncoder", domain=ML)
def one_hot_encoder(
    build: Build, x: Value, *, cats_int64s: Ints = (), cats_strings: Strings = (), zeros: int = 1
) -> Value:
    """A category that is not known is all zeros, which ``zeros`` says may not happen if it is 0."""
    del zeros
    if not x.fact.dtype.is_integer and not cats_strings:
        x = build(ops.Convert(ElementType.i64), x)
    keys = _strings(cats_strings) if cats_strings else np.array(cats_int64s, x.fact.dtype.numpy)
    if not keys.size:
        raise ValueError("there are no categories")
    places = place_of(build, x, keys)
    on, off = (build.scalar(value, ElementType.f32) for value in (1, 0))
    return build(ops.OneHot(-1), places, build.scalar(len(keys)), on, off)


@onnx.op("ZipMap", domain=ML)
def zip_map(build: Build, x: Value, *, classlabels_int64s: Ints = (), classlabels_strings: Strings = ()) -> Value:
    """The tensor that would become a list of maps."""
    keys = ", ".join(map(str, classlabels_strings or classlabels_int64s))
    build.note(f"is left out: its output is the tensor of scores, whose columns are {keys}")
    return x


# --- labels ----------------------------------------------------------------------------------------------------------


@onnx.op("LabelEncoder", domain=ML)
def label_encoder_of_strings(
    build: Build, x: Value, *,
    classes_strings: Strings = (), default_int64: int = -1, default_string: str = "_Unused",
) -> Value:  # fmt: skip
    if x.fact.dtype is ElementType.string:
        return _encoded(build, x, _strings(classes_strings), np.array([*range(len(classes_strings)), default_int64]))
    return _encoded(build, x, np.arange(len(classes_strings)), _strings((*classes_strings, default_string)))


@onnx.op("CategoryMapper", domain=ML)
def category_mapper(
    build: Build, x: Value, *,
    cats_int64s: Ints = (), cats_strings: Strings = (), default_int64: int = -1, default_string: str = "_Unused",
) -> Value:  # fmt: skip
    if x.fact.dtype is ElementType.string:
        return _encoded(build, x, _strings(cats_strings), np.array([*cats_int64s, default_int64], np.int64))
    return _encoded(build, x, np.array(cats_int64s, np.int64), _strings((*cats_strings, default_string)))


@onnx.op("LabelEncoder", since=2, domain=ML)
def label_encoder(
    build: Build, x: Value, *,
    default_float: float = -0.0, default_int64: int = -1, default_string: str = "_Unused", keys_floats: Floats = (),
    keys_int64s: Ints = (), keys_strings: Strings = (), values_floats: Floats = (), values_int64s: Ints = (),
    values_strings: Strings = (),
) -> Value:  # fmt: skip
    return label_encoder_with_tensors(
        build, x, default_float=default_float, default_int64=default_int64, default_string=default_string,
        keys_floats=keys_floats, keys_int64s=keys_int64s, keys_strings=keys_strings, values_floats=values_floats,
        values_int64s=values_int64s, values_strings=values_strings,
    )  # fmt: skip


@onnx.op("LabelEncoder", since=4, domain=ML)
def label_encoder_with_tensors(
    build: Build, x: Value, *,
    default_float: float = -0.0, default_int64: int = -1, default_string: str = "_Unused",
    default_tensor: Tensor | None = None, keys_floats: Floats = (), keys_int64s: Ints = (), keys_strings: Strings = (),
    keys_tensor: Tensor | None = None, values_floats: Floats = (), values_int64s: Ints = (),
    values_strings: Strings = (), values_tensor: Tensor | None = None,
) -> Value:  # fmt: skip
    keys = _listed(keys_tensor, keys_floats, keys_int64s, keys_strings)
    if keys is None:
        raise ValueError("there are no keys")
    if keys.dtype != object:
        keys = keys.astype(x.fact.dtype.numpy)
    values = _listed(values_tensor, values_floats, values_int64s, values_strings)
    if values is None:
        raise ValueError("there are no values")
    if default_tensor is not None:
        default = default_tensor.numpy().reshape(-1)[0]
    elif values_tensor is not None:
        default = {"i": -1, "u": -1, "f": -0.0}.get(values.dtype.kind, "_Unused")
    else:
        default = default_string if values_strings else default_float if values_floats else default_int64
    return _encoded(build, x, keys, np.append(values, np.array([default], values.dtype)))


def _listed(tensor: Tensor | None, floats: Floats, ints: Ints, strings: Strings) -> Array | None:
    """Keys or values, in whichever of the forms they are given."""
    if tensor is not None:
        return tensor.numpy().reshape(-1)
    if strings:
        return _strings(strings)
    if floats:
        return np.array(floats, np.float32)
    return np.array(ints, np.int64) if ints else None


def _strings(strings: Strings) -> Array:
    return np.array([*strings, None], object)[:-1]


def _encoded(build: Build, x: Value, keys: Array, values: Array) -> Value:
    """What belongs to each element's key, the last value where there is none."""
    if len(values) != len(keys) + 1 or not len(keys):
        raise ValueError(f"{len(keys)} keys and {len(values) - 1} values")
    place = place_of(build, x, keys)
    if values.dtype == object:
        return string_at(build, place, tuple(map(str, values)))
    return build(ops.Gather(), build.const(values), place, build.scalar(0))
