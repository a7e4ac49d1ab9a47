"""The XML file of an IR, layer by layer: version 11, as the official writer lays it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from modelbuild.graph.graph import Graph, Node, Value
from modelbuild.graph.op import Op
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ir.attributes import attribute_text, marks, partial_shape, quote, tensor_names
from modelbuild.ir.bodies import Wiring, wiring
from modelbuild.ir.names import Names
from modelbuild.ir.weights import Weights
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import Shape

Info: TypeAlias = "Mapping[str, bool | int | float | str | Info]"
"""What is said about a model beside its meaning, as nested names."""

_ELEMENT_NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)


def document(graph: Graph, weights: Weights, info: Info, *, name: str) -> Iterator[str]:
    """Yield the file of a network of that name in pieces; constants are placed in ``weights`` on the way."""
    yield f'<?xml version="1.0"?>\n<net name="{quote(name)}" version="11">\n'
    yield from _Layers(graph, weights, "\t").write()
    yield from _tree("rt_info", info, "\t")
    yield "</net>\n"


def _tree(name: str, value: bool | float | str | Info, indent: str) -> Iterator[str]:
    if not _ELEMENT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name an element of the IR")
    if not isinstance(value, Mapping):
        yield f'{indent}<{name} value="{quote(str(value))}" />\n'
    elif value:
        yield f"{indent}<{name}>\n"
        for inner, content in value.items():
            yield from _tree(inner, content, indent + "\t")
        yield f"{indent}</{name}>\n"
    else:
        yield f"{indent}<{name} />\n"


class _Layers:
    """The layers and edges of a graph or body: Parameters first, Results last.

    ``indent`` is that of the elements ``layers`` and ``edges``. What repeats from layer to layer is spelled once.
    """

    def __init__(self, graph: Graph, weights: Weights, indent: str) -> None:
        self._graph = graph
        self._weights = weights
        self._indent = indent
        self._layer_tag = f'{indent}\t<layer id="'
        self._layer_end = f"{indent}\t</layer>\n"
        self._sides = {name: (f"{indent}\t\t<{name}>\n", f"{indent}\t\t</{name}>\n") for name in ("input", "output")}
        self._port_tag = f'{indent}\t\t\t<port id="'
        self._names = Names()
        self._sources: dict[Value, tuple[int, int, str, str]] = {}
        """The layer and port that give a value, and what ports say of its type."""
        self._edges: list[tuple[int, int, int, int]] = []
        self._kinds: dict[Op, str] = {}
        self._types: dict[tuple[ElementType, Shape | None], tuple[str, str]] = {}

    def write(self) -> Iterator[str]:
        indent = self._indent
        nodes = self._graph.nodes()
        yield f"{indent}<layers>\n"
        for number, node in enumerate(nodes):
            yield self._layer(number, node)
        for number, value in enumerate(self._graph.outputs, start=len(nodes)):
            yield self._result(number, value)
        yield f"{indent}</layers>\n{indent}<edges>\n"
        yield "".join(
            [
                f'{indent}\t<edge from-layer="{source}" from-port="{port}" to-layer="{target}" to-port="{index}" />\n'
                for source, port, target, index in sorted(self._edges)
            ]
        )
        yield f"{indent}</edges>\n"

    def _layer(self, number: int, node: Node[Op]) -> str:
        tied = wiring(node) if node.op.bodies() else None
        inputs = tied.inputs if tied else node.inputs
        name, kind = quote(self._names.of(node)), self._kind(node, tied)
        taken = [self._input(number, port, value) for port, value in enumerate(inputs)]
        given = [self._output(number, port, value) for port, value in enumerate(node.outputs, start=len(inputs))]
        if isinstance(node.op, Parameter) and node.op.layout:
            given = [self._with_layout(port, node.op.layout) for port in given]
        sides = f"{self._side('input', taken)}{self._side('output', given)}"
        bodies = "".join(self._bodies(tied)) if tied else ""
        return f'{self._layer_tag}{number}" name="{name}"{kind}{sides}{bodies}{self._layer_end}'

    def _bodies(self, tied: Wiring) -> Iterator[str]:
        indent = f"{self._indent}\t\t"
        for name, body in tied.bodies:
            yield f"{indent}<{name}>\n"
            yield from _Layers(body, self._weights, f"{indent}\t").write()
            yield f"{indent}\t<rt_info />\n{indent}</{name}>\n"

    def _result(self, number: int, value: Value) -> str:
        port = self._input(number, 0, value)
        name = quote(
            self._names.unique(f"{value.names[0] if value.names else value.producer.op.ir_type()}/sink_port_0")
        )
        known = f' output_names="{tensor_names(value.names)}"' if value.names else ""
        opening = f'{self._layer_tag}{number}" name="{name}" type="Result" version="opset1"{known}>\n'
        return f"{opening}{self._side('input', [port])}{self._layer_end}"

    def _kind(self, node: Node[Op], tied: Wiring | None) -> str:
        """Type, version and attributes: from inside the layer's tag to its ports."""
        op = node.op
        if tied:
            return self._opening(op, lines=tied.maps)
        if isinstance(op, Const):
            place = self._weights.place(op.value)
            shape = ", ".join(map(str, op.value.shape))
            data = f' element_type="{op.value.dtype}" shape="{shape}" offset="{place.offset}" size="{place.size}"'
            return self._opening(op, data)
        if isinstance(op, Parameter):
            (value,) = node.outputs
            data = f' shape="{partial_shape(value.fact.shape)}" element_type="{value.fact.dtype}"'
            return self._opening(op, data)
        found = self._kinds.get(op)
        if found is None:
            found = self._kinds[op] = self._opening(op, attribute_text(op), marks(op))
        return found

    def _opening(self, op: Op, data: str = "", marked: Sequence[str] = (), lines: Sequence[str] = ()) -> str:
        indent = f"{self._indent}\t\t"
        opening = f' type="{op.ir_type()}" version="{op.version}">\n'
        if data:
            opening += f"{indent}<data{data} />\n"
        if not marked and not lines:
            return opening
        parts = [opening]
        if marked:
            attributes = [f'{indent}\t<attribute name="{mark}" version="0" />\n' for mark in marked]
            parts += [f"{indent}<rt_info>\n", *attributes, f"{indent}</rt_info>\n"]
        parts += [f"{indent}{line}\n" for line in lines]
        return "".join(parts)

    def _side(self, name: str, ports: list[str]) -> str:
        if not ports:
            return ""
        opening, closing = self._sides[name]
        return f"{opening}{''.join(ports)}{closing}"

    def _output(self, layer: int, port: int, value: Value) -> str:
        """The port that gives ``value``, which is known from now on."""
        fact = value.fact
        type_ = self._types.get((fact.dtype, fact.shape))
        if type_ is None:
            type_ = self._types[fact.dtype, fact.shape] = self._type(fact.dtype, fact.shape)
        self._sources[value] = layer, port, *type_
        precision, dims = type_
        names = f' names="{tensor_names(value.names)}"' if value.names else ""
        return f'{self._port_tag}{port}"{precision}{names}{dims}'

    def _input(self, layer: int, port: int, value: Value) -> str:
        """The port that takes ``value``, and the edge to it."""
        source, source_port, precision, dims = self._sources[value]
        self._edges.append((source, source_port, layer, port))
        return f'{self._port_tag}{port}"{precision}{dims}'

    def _type(self, dtype: ElementType, shape: Shape | None) -> tuple[str, str]:
        """What stands in a port before its tensor names, and what follows them."""
        precision, indent = f' precision="{dtype.port}"', f"{self._indent}\t\t\t"
        if not shape:
            return precision, " />\n"
        dims = "".join([f"{indent}\t<dim>{d if isinstance(d, int) else -1}</dim>\n" for d in shape])
        return precision, f">\n{dims}{indent}</port>\n"

    def _with_layout(self, port: str, layout: str) -> str:
        indent = f"{self._indent}\t\t\t"
        closing = f"{indent}</port>\n"
        opened = port.removesuffix(closing) if port.endswith(closing) else port.removesuffix(" />\n") + ">\n"
        note = f'<attribute name="layout" version="0" layout="{quote(layout)}" />'
        return f"{opened}{indent}\t<rt_info>\n{indent}\t\t{note}\n{indent}\t</rt_info>\n{closing}"
