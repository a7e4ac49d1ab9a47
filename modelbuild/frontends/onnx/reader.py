"""ONNX files as source models, read without importing ``onnx`` or ``protobuf``."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from modelbuild.collector import collector_paused
from modelbuild.errors import SourceError
from modelbuild.frontends.onnx.messages import FunctionProto, ModelProto
from modelbuild.frontends.onnx.tensors import TensorReader, count_elements, element_type
from modelbuild.frontends.order import ordered
from modelbuild.frontends.sniff import refuse_others
from modelbuild.frontends.source import (
    Attribute,
    Reference,
    SourceFunction,
    SourceGraph,
    SourceModel,
    SourceNode,
    SourceType,
    SourceValue,
    SparseTensor,
)
from modelbuild.frontends.wire import read_bytes, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from modelbuild.frontends.onnx.messages import (
        AttributeProto,
        Dimension,
        GraphProto,
        NodeProto,
        OperatorSetIdProto,
        TensorTypeProto,
        TypeProto,
        ValueInfoProto,
    )
    from modelbuild.tensor.dtype import ElementType
    from modelbuild.tensor.storage import Tensor

_FIELDS: Final = {
    "f": 1, "i": 2, "s": 3, "t": 4, "g": 5, "floats": 6, "ints": 7, "strings": 8, "tensors": 9, "graphs": 10,
    "sparse_tensor": 11, "sparse_tensors": 12, "tp": 13, "type_protos": 14,
}  # fmt: skip
"""The attribute types, by the field that holds their value."""

OLDEST: Final = 6
NEWEST: Final = 28
"""The operator sets of ONNX's own domain whose operators are known, and what changed between them."""


def read(path: Path) -> SourceModel:
    """Read a model; raises ``SourceError`` where the file is not one, or not a sound one.

    Inputs that have an initializer are constants, not inputs: before IR version 4 every initializer was listed so.
    """
    refuse_others(path, "an ONNX model")
    with collector_paused():
        model = read_file(path, ModelProto)
        try:
            return _Reader(path).model(model)
        except SourceError as error:
            error.args = (f"{path}: {error}",)
            raise


def read_function(content: bytes) -> SourceFunction:
    """Read a function that is a message of its own; raises ``SourceError`` where it is not a sound one."""
    return _Reader(None).function(read_bytes(content, FunctionProto, "function"), {})


class _Reader:
    """Turns the messages of one file, or of none, into its source model."""

    def __init__(self, path: Path | None) -> None:
        self._tensors = TensorReader(path)

    def model(self, proto: ModelProto) -> SourceModel:
        if proto.graph is None:
            raise SourceError("found no graph, expected an ONNX model")
        opsets = _opsets(proto.opset_import)
        if not opsets:
            raise SourceError("found no operator sets, expected an ONNX model's opset_import")
        graph, free = self._graph(proto.graph)
        if not graph.outputs:
            raise SourceError("found a graph without outputs, expected a model that computes something")
        if free:
            raise SourceError(_nobody_makes(free))
        functions = tuple(self.function(function, opsets) for function in proto.functions)
        return SourceModel(
            graph=graph,
            opsets=opsets,
            functions=functions,
            producer=f"{proto.producer_name} {proto.producer_version}".strip(),
            ir_version=proto.ir_version,
            framework="onnx",
            files=self._tensors.files,
            metadata={entry.key: entry.value for entry in proto.metadata_props},
            notes=tuple(_strange(opsets)),
        )

    def _graph(self, proto: GraphProto) -> tuple[SourceGraph, dict[str, str]]:
        """Give the graph, and the names it takes from outer graphs with what needs each."""
        initializers = self._initializers(proto)
        inputs = tuple(_value(value) for value in proto.input if value.name not in initializers)
        given = [*(value.name for value in inputs), *initializers]
        if len(set(given)) < len(given):
            raise SourceError(f"value {_repeated(given)!r} is made twice: it is an input or initializer twice")
        nodes, free = self._nodes(proto.node, given)
        outputs = tuple(map(_value, proto.output))
        made = chain.from_iterable([node.outputs for node in nodes])
        unmade = {value.name for value in outputs}.difference(given, made)
        for output in outputs:
            if output.name in unmade:
                free.setdefault(output.name, f"the outputs of graph {proto.name!r}")
        values = {value.name: _type(value.type, value.name) for value in proto.value_info if value.type}
        return SourceGraph(proto.name, inputs, outputs, nodes, initializers, values), free

    def _initializers(self, proto: GraphProto) -> dict[str, Tensor | SparseTensor]:
        found: dict[str, Tensor | SparseTensor] = {}
        for dense in proto.initializer:
            if dense.name in found:
                raise SourceError(f"value {dense.name!r} is made twice: it is an initializer twice")
            found[dense.name] = self._tensors.read(dense, dense.name)
        for sparse in proto.sparse_initializer:
            name = sparse.values.name if sparse.values else ""
            if name in found:
                raise SourceError(f"value {name!r} is made twice: it is an initializer twice")
            found[name] = self._tensors.read_sparse(sparse, name)
        return found

    def _nodes(
        self, protos: Iterable[NodeProto], given: Iterable[str]
    ) -> tuple[tuple[SourceNode, ...], dict[str, str]]:
        """Give the nodes in order, and the names that neither they make nor are given, with who needs each."""
        nodes, needs = [], []
        for proto in protos:
            node, needed = self._node(proto)
            nodes.append(node)
            needs.append(needed)
        known = dict.fromkeys(given)
        sorted_nodes = ordered(nodes, needs, known)
        known.update(dict.fromkeys(chain.from_iterable([node.outputs for node in nodes])))
        free: dict[str, str] = {}
        for node, needed in zip(nodes, needs, strict=True):
            for name in needed:
                if name not in known:
                    free.setdefault(name, str(node))
        return tuple(sorted_nodes), free

    def _node(self, proto: NodeProto) -> tuple[SourceNode, dict[str, str]]:
        """Give the node, and the names it needs: its inputs and what its subgraphs take from outside."""
        needed = dict.fromkeys(filter(None, proto.input), "")
        attributes: dict[str, Attribute] = {}
        for attribute in proto.attribute:
            if attribute.name in attributes:
                raise SourceError(f"{proto.op_type} {proto.name!r}: attribute {attribute.name!r} is there twice")
            try:
                attributes[attribute.name] = self._attribute(attribute, needed)
            except SourceError as error:
                error.add_note(f"in attribute {attribute.name!r} of {proto.op_type} {proto.name!r}")
                raise
        return SourceNode(
            op=proto.op_type,
            domain=_domain(proto.domain),
            name=proto.name,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=attributes,
            overload=proto.overload,
        ), needed

    def _attribute(self, proto: AttributeProto, needed: dict[str, str]) -> Attribute:
        """Give the attribute's value; names that its graphs take from outside are added to ``needed``."""
        if proto.ref_attr_name:
            return Reference(proto.ref_attr_name)
        name, kind = proto.name, proto.type or _guess(proto)
        match kind:
            case 1:
                return proto.f
            case 2:
                return proto.i
            case 3:
                return _text(proto.s)
            case 4 if proto.t:
                return self._tensors.read(proto.t, proto.t.name or name)
            case 5 if proto.g:
                return self._subgraph(proto.g, needed)
            case 6:
                return tuple(proto.floats)
            case 7:
                return tuple(proto.ints)
            case 8:
                return tuple(map(_text, proto.strings))
            case 9:
                return tuple(self._tensors.read(tensor, tensor.name or name) for tensor in proto.tensors)
            case 10:
                return tuple(self._subgraph(graph, needed) for graph in proto.graphs)
            case 11 if proto.sparse_tensor:
                return self._tensors.read_sparse(proto.sparse_tensor, name)
            case 12:
                return tuple(self._tensors.read_sparse(tensor, name) for tensor in proto.sparse_tensors)
            case 13 if proto.tp:
                return _type(proto.tp, name)
            case 14:
                return tuple(_type(type_, name) for type_ in proto.type_protos)
            case 4 | 5 | 11 | 13:
                raise SourceError(f"attribute {name!r} has no value")
        raise SourceError(f"attribute {name!r}: found type {kind}, expected 1 to 14")

    def _subgraph(self, proto: GraphProto, needed: dict[str, str]) -> SourceGraph:
        graph, free = self._graph(proto)
        needed.update(free)
        return graph

    def function(self, proto: FunctionProto, opsets: Mapping[str, int]) -> SourceFunction:
        """Give the function. An output that nobody makes is none that a call may ask for."""
        nodes, free = self._nodes(proto.node, proto.input)
        if free:
            raise SourceError(f"function {proto.name!r}: {_nobody_makes(free)}")
        return SourceFunction(
            name=proto.name,
            domain=_domain(proto.domain),
            overload=proto.overload,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=tuple(proto.attribute),
            defaults={attribute.name: self._attribute(attribute, {}) for attribute in proto.attribute_proto},
            nodes=nodes,
            opsets=_opsets(proto.opset_import) or opsets,
        )


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opsets(protos: Iterable[OperatorSetIdProto]) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for proto in protos:
        domain = _domain(proto.domain)
        if opsets.setdefault(domain, proto.version) != proto.version:
            found = f"versions {opsets[domain]} and {proto.version}"
            raise SourceError(f"operator set {domain or 'ai.onnx'!r}: found {found}, expected one")
    return opsets


def _strange(opsets: Mapping[str, int]) -> Iterator[str]:
    """What to say of operator sets whose operators may mean something else than is known."""
    found = opsets.get("", OLDEST)
    if found < OLDEST:
        yield f"operator set {found} is older than {OLDEST}, the oldest that is known: it is read as if it were that"
    if found > NEWEST:
        yield f"operator set {found} is newer than {NEWEST}, the newest that is known: it is read as if it were that"


def _nobody_makes(free: Mapping[str, str]) -> str:
    shown = [f"{name!r} (for {user or 'a subgraph'})" for name, user in list(free.items())[:5]]
    more = f" and {len(free) - 5} more" if len(free) > 5 else ""
    return f"nothing makes {', '.join(shown)}{more}"


def _repeated(names: Sequence[str]) -> str:
    return Counter(names).most_common(1)[0][0]


def _guess(proto: AttributeProto) -> int:
    """The type of an attribute that does not say it, as the first IR versions allowed."""
    for field, kind in _FIELDS.items():
        if field in vars(proto):
            return kind
    raise SourceError(f"attribute {proto.name!r} has neither a type nor a value")


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _value(proto: ValueInfoProto) -> SourceValue:
    return SourceValue(proto.name, _type(proto.type, proto.name) if proto.type else None)


def _type(proto: TypeProto, name: str) -> SourceType:
    if proto.sequence_type:
        return SourceType(kind="sequence", element=_element(proto.sequence_type.elem_type, name))
    if proto.optional_type:
        return SourceType(kind="optional", element=_element(proto.optional_type.elem_type, name))
    if proto.map_type:
        return SourceType(kind="map", element=_element(proto.map_type.value_type, name))
    if proto.sparse_tensor_type:
        dtype, shape = _tensor(proto.sparse_tensor_type, name)
        return SourceType(dtype, shape, "sparse_tensor")
    if proto.tensor_type:
        return SourceType(*_tensor(proto.tensor_type, name))
    return SourceType()


def _element(proto: TypeProto | None, name: str) -> SourceType | None:
    return _type(proto, name) if proto else None


def _tensor(proto: TensorTypeProto, name: str) -> tuple[ElementType | None, tuple[int | str | None, ...] | None]:
    try:
        dtype = element_type(proto.elem_type)
        shape = tuple(map(_dimension, proto.shape.dim)) if proto.shape else None
        count_elements([dim for dim in shape or () if isinstance(dim, int)])
    except ValueError as reason:
        raise SourceError(f"value {name!r}: {reason}") from None
    return dtype, shape


def _dimension(proto: Dimension) -> int | str | None:
    """A dimension; -1 and ``?`` are how some exporters say that it is not known."""
    if proto.dim_value is not None:
        return None if proto.dim_value == -1 else proto.dim_value
    return None if proto.dim_param in {None, "", "?"} else proto.dim_param
