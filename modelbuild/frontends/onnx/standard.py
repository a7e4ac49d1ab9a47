"""The definitions that the ONNX standard gives for many of its operators, from the ``onnx`` package.

It is imported only when an operator without a handler is met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelbuild.frontends.handlers import Refusal
from modelbuild.frontends.onnx.reader import read_function
from modelbuild.frontends.onnx.tensors import number_of
from modelbuild.frontends.source import Attribute, SourceFunction, SourceGraph, SourceNode
from modelbuild.tensor.storage import Tensor

if TYPE_CHECKING:
    from modelbuild.tensor.fact import Fact


class Definitions:
    """Definitions by operator and operator-set version; some depend on a node's attributes and input types."""

    def knows(self, node: SourceNode, opsets: Mapping[str, int]) -> bool:
        schema = _schema(node.domain, node.op, opsets.get(node.domain, 1))
        return schema is not None and (schema.has_function or schema.has_context_dependent_function)

    def find(self, node: SourceNode, opsets: Mapping[str, int], inputs: Sequence[Fact | None]) -> SourceFunction | None:
        opset = opsets.get(node.domain, 1)
        schema = _schema(node.domain, node.op, opset)
        if schema is None:
            return None
        if versions := [v for v in schema.function_opset_versions if v <= opset]:
            content = schema.get_function_with_opset_version(versions[-1])
        elif versions := [v for v in schema.context_dependent_function_opset_versions if v <= opset]:
            proto = _node(node).SerializeToString()
            content = schema.get_context_dependent_function_with_opset_version(versions[-1], proto, _types(inputs))
        else:
            return None
        function = read_function(content)
        # A definition has all attributes of its operator, and speaks of other domains in the model's versions.
        return replace(
            function,
            attributes=tuple(schema.attributes),
            defaults=_defaults(schema),
            opsets={**opsets, **function.opsets},
        )


@cache
def _schema(domain: str, name: str, opset: int) -> Any:
    """The schema of an operator, or None where the standard has none."""
    import onnx.defs

    return onnx.defs.get_schema(name, opset, domain) if onnx.defs.has(name, opset, domain) else None


def _defaults(schema: Any) -> dict[str, Attribute]:
    from onnx.helper import get_attribute_value

    declared = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.name}
    values = {name: get_attribute_value(value) for name, value in declared.items()}
    return {
        name: tuple(value) if isinstance(value, list) else value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _node(node: SourceNode) -> Any:
    from onnx.helper import make_attribute, make_node

    made = make_node(node.op, node.inputs, node.outputs, node.name, domain=node.domain)
    made.attribute.extend(make_attribute(name, _plain(value)) for name, value in node.attributes.items())
    return made


def _plain(value: Attribute) -> Any:
    from onnx.numpy_helper import from_array

    if isinstance(value, Tensor):
        return from_array(value.numpy())
    if isinstance(value, SourceGraph):
        return _graph(value)
    if isinstance(value, int | float | str | bytes | tuple):
        return value
    raise Refusal(f"its definition depends on a {type(value).__name__}")


def _graph(graph: SourceGraph) -> Any:
    from onnx.helper import make_empty_tensor_value_info, make_graph
    from onnx.numpy_helper import from_array

    inputs, outputs = (
        [make_empty_tensor_value_info(v.name) for v in values] for values in (graph.inputs, graph.outputs)
    )
    dense = {name: tensor for name, tensor in graph.initializers.items() if isinstance(tensor, Tensor)}
    if len(dense) < len(graph.initializers):
        raise Refusal("its definition depends on a subgraph with sparse initializers")
    constants = [from_array(tensor.numpy(), name) for name, tensor in dense.items()]
    return make_graph([_node(node) for node in graph.nodes], graph.name or "body", inputs, outputs, constants)


def _types(facts: Sequence[Fact | None]) -> list[bytes]:
    from onnx import TypeProto
    from onnx.helper import make_tensor_type_proto

    return [
        (
            TypeProto() if fact is None else make_tensor_type_proto(number_of(fact.dtype), _dims(fact))
        ).SerializeToString()
        for fact in facts
    ]


def _dims(fact: Fact) -> list[int | None] | None:
    return None if fact.shape is None else [d if isinstance(d, int) else None for d in fact.shape]
