"""The graph as text, both ways. One form for the cache, the tests, the command line and the report.

::

    graph net(%x: f32[N<1..8>,3,8,8]) {
      %w = Const() {value=@6b86…:f32[16,3,3,3]} : f32[16,3,3,3]
      %y = Convolution(%x, %w) {strides=[2,2], …} : f32[N<1..8>,16,4,4] ; layer="c1" from="Conv:c1"
      %a, %b = Split(%y, %axis) {num_splits=2} : f32[…], f32[…]
      %z = If(%c, %x) {then_inputs=[1], else_inputs=[]} : f32[…]
        body(%p: f32[…]) {
          …
          return %q
        }
        body() {
          …
        }
      sink %s = Assign(%z) {…} : f32[…]
      return %z
    }

An id is the value's first tensor name; ids with a ``#`` are made up for values that have none. What is not written is
what it nearly always is: the layer's name is the first id, the origin is empty, the tensor names are the id.
Large tensors are named by content (``@digest:type``), derived ones by their recipe; :func:`parse` is given them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from modelbuild.graph.attributes import read_op, write_op
from modelbuild.graph.graph import Graph, Node, Value
from modelbuild.graph.op import Op
from modelbuild.graph.structure import Parameter
from modelbuild.tensor.dtype import ElementType, Ints
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.recipe import Contents
from modelbuild.tensor.shape import Shape
from modelbuild.tensor.shape_text import parse_shape
from modelbuild.tensor.storage import Tensor

_ID = r'%(?:[\w./:~#\-]+|"(?:[^"\\]|\\.)*")'
_HEAD = re.compile(r'(?P<word>graph|body) ?(?P<name>[\w./:\-]+|"(?:[^"\\]|\\.)*")?\((?P<inputs>.*)\) \{')
_NODE = re.compile(
    rf"(?P<sink>sink )?(?P<ids>{_ID}(?:, {_ID})*) = (?P<op>\w+)\((?P<args>[^()]*|(?:{_ID}(?:, )?)*)\)"
    r"(?: \{(?P<attrs>.*?)\})? : (?P<facts>[^;{}]*?)(?: ; (?P<extra>.*))?"
)
_IDS = re.compile(_ID)
_INPUT = re.compile(rf"(?P<id>{_ID}): (?P<type>\w+)\[(?P<shape>[^\]]*)\]")
_FACT = re.compile(r"(\w+)\[([^\]]*)\]")
_PLAIN = re.compile(r"[\w./:~\-]+")
_PLAIN_ID = re.compile(r"[\w./:~#\-]+")
_EXTRA = re.compile(r'(layer|from|layout|names)=("(?:[^"\\]|\\.)*"|\[.*\])')

_quoted = json.JSONEncoder().encode  # as json.dumps, which takes three times as long to find its encoder


class TextError(ValueError):
    """The text is not a graph; says which line and why."""


# --- writing ---------------------------------------------------------------------------------------------------------


def show(graph: Graph) -> str:
    """The text of a graph; reads the content of its large constants, to name them."""
    return "\n".join(_show(graph, f"graph {_word(graph.name)}", "")) + "\n"


def _show(graph: Graph, head: str, indent: str) -> Iterator[str]:
    nodes = graph.nodes()
    names = _name_values(nodes)
    ids = {value: f"%{name if _PLAIN_ID.fullmatch(name) else _quoted(name)}" for value, name in names.items()}
    inputs = ", ".join(f"{ids[v]}: {v.fact}" for v in graph.inputs)
    yield f"{indent}{head}({inputs}) {{"
    for value in graph.inputs:
        if extra := _extra(value.producer, names):
            yield f"{indent}  input {ids[value]} ;{extra}"
    for note in graph.notes:
        yield f"{indent}  note {_quoted(note)}"
    for node in nodes:
        if not isinstance(node.op, Parameter):
            sink = "sink " if node in graph.sinks else ""
            yield f"{indent}  {sink}{_line(node, names, ids)}"
            for body in node.op.bodies():
                yield from _show(body, "body", f"{indent}    ")
    yield f"{indent}  return {', '.join(ids[v] for v in graph.outputs)}"
    yield f"{indent}}}"


def _name_values(nodes: tuple[Node[Op], ...]) -> dict[Value, str]:
    """What each value is called: its first tensor name, or one made from the layer's name; never the same one twice."""
    named: dict[Value, str] = {}
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for node in nodes:
        for value in node.outputs:
            if value.names and value.names[0] not in taken and "#" not in value.names[0]:
                name = value.names[0]
            else:
                count = counts[node.name] = counts.get(node.name, 0) + 1
                name = f"{node.name}#{count}"
            taken.add(name)
            named[value] = name
    return named


def _line(node: Node[Op], names: Mapping[Value, str], ids: Mapping[Value, str]) -> str:
    made = ", ".join([ids[v] for v in node.outputs])
    args = ", ".join([ids[v] for v in node.inputs])
    attributes = write_op(node.op)
    braces = f" {{{attributes}}}" if attributes else ""
    facts = ", ".join([str(v.fact) for v in node.outputs])
    extra = _extra(node, names)
    return f"{made} = {type(node.op).__name__}({args}){braces} : {facts}{' ;' + extra if extra else ''}"


def _extra(node: Node[Op], names: Mapping[Value, str]) -> str:
    """What a reader would not take for granted."""
    said = ""
    if node.name != _layer(names[node.outputs[0]]):
        said = f" layer={_quoted(node.name)}"
    if node.origin:
        said += f" from={_quoted(node.origin)}"
    if isinstance(node.op, Parameter) and node.op.layout:
        said += f" layout={_quoted(node.op.layout)}"
    for value in node.outputs:
        if value.names != _names(names[value]):
            return f"{said} names={json.dumps([v.names for v in node.outputs])}"
    return said


def _word(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _bare(written: str) -> str:
    name = written.removeprefix("%")
    return _said(name) if name.startswith('"') else name


def _said(written: str) -> Any:
    """What stands there as JSON; most of it is plain text in quotes."""
    return json.loads(written) if "\\" in written or not written.startswith('"') else written[1:-1]


def _layer(bare: str) -> str:
    return bare.rpartition("#")[0] if "#" in bare else bare


def _names(bare: str) -> tuple[str, ...]:
    return () if "#" in bare else (bare,)


# --- reading ---------------------------------------------------------------------------------------------------------


def parse(text: str, contents: Contents | None = None) -> Graph:
    """The graph of a text; raises :class:`TextError` with the number of the line that is wrong."""
    lines = _Lines(text)
    graph = _parse(lines, contents or _no_contents)
    if (rest := lines.peek()) is not None:
        raise lines.error(f"more text after the graph: {rest!r}")
    return graph


def _no_contents(digest: str, dtype: ElementType, shape: Ints) -> Tensor:
    raise KeyError(f"@{digest}:{dtype}{list(shape)}")


class _Lines:
    """Lines less comments and blanks, with their numbers."""

    def __init__(self, text: str) -> None:
        self.number = 0
        self._lines = text.splitlines()

    def peek(self) -> str | None:
        while self.number < len(self._lines):
            line = self._lines[self.number].strip()
            if line and not line.startswith("//"):
                return line
            self.number += 1
        return None

    def take(self) -> str:
        line = self.peek()
        if line is None:
            raise self.error("the text ends inside a graph")
        self.number += 1
        return line

    def error(self, why: object) -> TextError:
        return TextError(f"line {self.number}: {why}")


def _parse(lines: _Lines, contents: Contents) -> Graph:
    head = _HEAD.fullmatch(lines.take())
    if head is None:
        raise lines.error("not the head of a graph")
    values: dict[str, Value] = {}
    graph = Graph(name=_bare(head["name"] or "model"))
    for found in _INPUT.finditer(head["inputs"]):
        bare = _bare(found["id"])
        fact = Parameter(ElementType(found["type"]), parse_shape(found["shape"]))
        node = Node(fact, (), _layer(bare), "", _names(bare))
        values[found["id"]] = node.output
        graph.inputs.append(node.output)
    while True:
        line = lines.take()
        try:
            if line.startswith("return"):
                graph.outputs = [values[i] for i in _IDS.findall(line)]
            elif line == "}":
                return graph
            elif line.startswith("note "):
                graph.notes.append(json.loads(line.removeprefix("note ")))
            elif line.startswith("input "):
                written, _, extra = line.removeprefix("input ").partition(" ; ")
                _dress(values[written].producer, extra)
            else:
                _parse_node(line, lines, contents, values, graph)
        except TextError:
            raise
        except KeyError as unknown:
            raise lines.error(f"nothing is called {unknown}") from None
        except (ValueError, TypeError) as why:
            raise lines.error(why) from why


def _parse_node(line: str, lines: _Lines, contents: Contents, values: dict[str, Value], graph: Graph) -> None:
    found = _NODE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a node: {line!r}")
    bodies = []
    while (following := lines.peek()) is not None and following.startswith("body"):
        bodies.append(_parse(lines, contents))
    op = read_op(found["op"], found["attrs"] or "", found["facts"], contents)
    if bodies:
        op = op.with_bodies(*bodies)
    ids = [found["ids"]] if ", " not in found["ids"] else _IDS.findall(found["ids"])
    args = found["args"]
    bare = _bare(ids[0])
    node: Node[Op] = Node(op, [values[a] for a in (_IDS.findall(args) if args else ())], _layer(bare))
    if len(ids) != len(node.outputs):
        raise ValueError(f"{len(ids)} values are written, {found['op']} makes {len(node.outputs)}")
    for written, (dtype, shape), value in zip(ids, _facts(found["facts"]), node.outputs, strict=True):
        value.names = _names(_bare(written))
        if value.fact.dtype is not dtype or value.fact.shape != shape:
            _settle(value, dtype, shape)
        values[written] = value
    if found["extra"]:
        _dress(node, found["extra"])
    if found["sink"]:
        graph.sinks.append(node)


def _settle(value: Value, dtype: ElementType, shape: Shape | None) -> None:
    """What was written may be more precise than what can be inferred, never something else."""
    fact = Fact(dtype, shape, value.fact.value, value.fact.dims)
    if not fact.refines(value.fact):
        raise ValueError(f"{value} is written {fact}, inferred {value.fact}")
    value.fact = fact


@lru_cache(4096)
def _facts(text: str) -> tuple[tuple[ElementType, Shape | None], ...]:
    return tuple((ElementType(dtype), parse_shape(shape)) for dtype, shape in _FACT.findall(text))


def _dress(node: Node[Op], extra: str) -> None:
    for key, written in _EXTRA.findall(extra):
        said = _said(written)
        if key == "layer":
            node.name = said
        elif key == "from":
            node.origin = said
        elif key == "layout" and isinstance(node.op, Parameter):
            node.op = Parameter(node.op.element_type, node.op.shape, said)
        else:
            for value, names in zip(node.outputs, said, strict=True):
                value.names = tuple(names)
