"""The messages of an ONNX file: the fields that are read, with their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.frontends.wire import (
    BLOB,
    BYTES,
    DOUBLE,
    ENUM,
    FLOAT,
    INT32,
    INT64,
    STRING,
    UINT64,
    Message,
    child,
    children,
    many,
    one,
    optional,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class StringStringEntryProto(Message):
    key = one(1, STRING)
    value = one(2, STRING)


class TensorProto(Message):
    """A tensor. Packed floats lie in the file like raw data, so they are left there like raw data."""

    dims = many(1, INT64)
    data_type = one(2, INT32)
    float_data = many(4, FLOAT)
    packed_floats = one(4, BLOB)
    int32_data = many(5, INT32)
    string_data = many(6, BYTES)
    int64_data = many(7, INT64)
    name = one(8, STRING)
    raw_data = one(9, BLOB)
    double_data = many(10, DOUBLE)
    packed_doubles = one(10, BLOB)
    uint64_data = many(11, UINT64)
    external_data = children(13, lambda: StringStringEntryProto)
    data_location = one(14, ENUM)


class SparseTensorProto(Message):
    values = child(1, lambda: TensorProto)
    indices = child(2, lambda: TensorProto)
    dims = many(3, INT64)


class Dimension(Message):
    dim_value = optional(1, INT64)
    dim_param = optional(2, STRING)


class TensorShapeProto(Message):
    dim = children(1, lambda: Dimension)


class TensorTypeProto(Message):
    elem_type = one(1, INT32)
    shape = child(2, lambda: TensorShapeProto)


class SequenceTypeProto(Message):
    """The type of a sequence, and of an optional, which has the same fields."""

    elem_type: TypeProto | None = child(1, lambda: TypeProto)


class MapTypeProto(Message):
    value_type: TypeProto | None = child(2, lambda: TypeProto)


class TypeProto(Message):
    tensor_type = child(1, lambda: TensorTypeProto)
    sequence_type = child(4, lambda: SequenceTypeProto)
    map_type = child(5, lambda: MapTypeProto)
    sparse_tensor_type = child(8, lambda: TensorTypeProto)
    optional_type = child(9, lambda: SequenceTypeProto)


class ValueInfoProto(Message):
    name = one(1, STRING)
    type = child(2, lambda: TypeProto)


class AttributeProto(Message):
    name = one(1, STRING)
    f = one(2, FLOAT)
    i = one(3, INT64)
    s = one(4, BYTES)
    t = child(5, lambda: TensorProto)
    g: GraphProto | None = child(6, lambda: GraphProto)
    floats = many(7, FLOAT)
    ints = many(8, INT64)
    strings = many(9, BYTES)
    tensors = children(10, lambda: TensorProto)
    graphs: Sequence[GraphProto] = children(11, lambda: GraphProto)
    tp = child(14, lambda: TypeProto)
    type_protos = children(15, lambda: TypeProto)
    type = one(20, ENUM)
    ref_attr_name = one(21, STRING)
    sparse_tensor = child(22, lambda: SparseTensorProto)
    sparse_tensors = children(23, lambda: SparseTensorProto)


class NodeProto(Message):
    input = many(1, STRING)
    output = many(2, STRING)
    name = one(3, STRING)
    op_type = one(4, STRING)
    attribute = children(5, lambda: AttributeProto)
    domain = one(7, STRING)
    overload = one(8, STRING)


class GraphProto(Message):
    node = children(1, lambda: NodeProto)
    name = one(2, STRING)
    initializer = children(5, lambda: TensorProto)
    input = children(11, lambda: ValueInfoProto)
    output = children(12, lambda: ValueInfoProto)
    value_info = children(13, lambda: ValueInfoProto)
    sparse_initializer = children(15, lambda: SparseTensorProto)


class OperatorSetIdProto(Message):
    domain = one(1, STRING)
    version = one(2, INT64)


class FunctionProto(Message):
    name = one(1, STRING)
    input = many(4, STRING)
    output = many(5, STRING)
    attribute = many(6, STRING)
    node = children(7, lambda: NodeProto)
    opset_import = children(9, lambda: OperatorSetIdProto)
    domain = one(10, STRING)
    attribute_proto = children(11, lambda: AttributeProto)
    overload = one(13, STRING)


class ModelProto(Message):
    ir_version = one(1, INT64)
    producer_name = one(2, STRING)
    producer_version = one(3, STRING)
    graph = child(7, lambda: GraphProto)
    opset_import = children(8, lambda: OperatorSetIdProto)
    metadata_props = children(14, lambda: StringStringEntryProto)
    functions = children(25, lambda: FunctionProto)
