"""Models that nobody would write: real ones with bytes changed, and nodes of random operators put together.

Whatever a file holds, its conversion ends soon, takes memory in proportion to the file, and either succeeds or says in
a ``BuildError`` what is wrong.
"""

from __future__ import annotations

import resource
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from onnx import GraphProto, ModelProto, TensorProto, helper
from onnx.defs import OpSchema

from modelbuild.convert import convert_model, save_model
from modelbuild.errors import BuildError
from modelbuild.frontends.handlers import Signature
from modelbuild.frontends.onnx.registry import onnx as handlers

PATIENCE = 20.0
"""Seconds for one model of a few kilobytes; a conversion takes hundredths of one."""

PAGE = 1 << 20
SPARE = 48 * PAGE
"""Memory that a conversion may take whatever the size of the file: modules imported late among it."""

MULTIPLE = 8
"""Bytes of memory for one of the file."""

FENCE = 4 << 30
"""Address space of the process that converts: what asks for more fails there, and not the machine."""


@dataclass(frozen=True)
class Outcome:
    """What became of a model: converted or refused, and how much memory that took at most."""

    refused: str
    """Why it was refused; empty where it was not."""
    taken: int

    def check(self, content: bytes) -> None:
        assert self.taken <= SPARE + MULTIPLE * len(content), self


def attempt(content: bytes) -> Outcome:
    """Convert a model and write it; raises what is neither success nor a ``BuildError``."""
    with tempfile.TemporaryDirectory() as folder:
        return _attempt(content, Path(folder), load=False)


def attempt_and_load(content: bytes) -> Outcome:
    """As :func:`attempt`; what was written must be a model to the runtime."""
    with tempfile.TemporaryDirectory() as folder:
        return _attempt(content, Path(folder), load=True)


def _attempt(content: bytes, folder: Path, *, load: bool) -> Outcome:
    resource.setrlimit(resource.RLIMIT_AS, (FENCE, FENCE))
    path, xml = folder / "m.onnx", folder / "m.xml"
    path.write_bytes(content)
    before = _start_of_peak()
    try:
        save_model(convert_model(path), xml)
    except BuildError as error:
        return Outcome(f"{type(error).__name__}: {error}", _peak() - before)
    taken = _peak() - before
    if load:
        import openvino

        openvino.Core().read_model(xml)
    return Outcome("", taken)


def _start_of_peak() -> int:
    """Let the kernel measure the peak of memory from now on; what is in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


# --- changed bytes ---------------------------------------------------------------------------------------------------

SEEDS = (
    """<ir_version: 8, opset_import: ["" : 17]>
    convolution (float[N, 3, 8, 8] x) => (float[N, 4] y)
      <float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[4] b = {1, 2, 3, 4}> {
        c = Conv <pads = [1, 0, 1, 0], strides = [2, 2]> (x, w, b)
        r = Relu (c)
        p = GlobalAveragePool (r)
        y = Flatten <axis = 1> (p)
    }""",
    """<ir_version: 8, opset_import: ["" : 17]>
    branches (float[2] x, bool c) => (float[2] y) {
        y = If (c) <then_branch = then () => (float[2] a) { a = Abs (x) },
                    else_branch = other () => (float[2] b) { b = Neg (x) }>
    }""",
    """<ir_version: 8, opset_import: ["" : 17]>
    loop (float[2] x, int64 n) => (float[2] y) <bool more = {1}> {
        y = Loop (n, more, x) <body = body (int64 i, bool c, float[2] a) => (bool d, float[2] b) {
            d = Identity (c)
            b = Add (a, a)
        }>
    }""",
    """<ir_version: 8, opset_import: ["" : 17]>
    quantised (float[1, 4] x) => (float[1, 2] y)
      <float s = {0.1}, uint8 z = {128}, int8[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float t = {0.2}, int8 o = {0}> {
        q = QuantizeLinear (x, s, z)
        d = DequantizeLinear (q, s, z)
        v = DequantizeLinear (w, t, o)
        y = MatMul (d, v)
    }""",
    """<ir_version: 8, opset_import: ["" : 17]>
    shapes (float[B, S, 6] x) => (float[B, S, 2, 3] y, int64[2] i)
      <int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}> {
        s = Shape (x)
        b = Slice (s, zero, two)
        t = Concat <axis = 0> (b, two, three)
        y = Reshape (x, t)
        v, i = TopK <axis = 0> (s, two)
    }""",
    """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    calls (float[2] x) => (float[2] y) { y = own.twice (x) }
    <opset_import: ["" : 17], domain: "own"> twice (x) => (y) { y = Add (x, x) }""",
    """<ir_version: 8, opset_import: ["" : 17]>
    sequence (float[4, 2] x) => (float[2, 2] y) <int64 at = {1}, int64[2] parts = {2, 2}> {
        s = SplitToSequence <axis = 0> (x, parts)
        y = SequenceAt (s, at)
    }""",
)


@cache
def seeds() -> tuple[bytes, ...]:
    return tuple(onnx.parser.parse_model(text).SerializeToString() for text in SEEDS)


def changed(content: bytes) -> SearchStrategy[bytes]:
    """``content`` with some bytes set, taken out or doubled, or cut short."""
    places = st.integers(0, len(content) - 1)
    spans = st.tuples(places, st.integers(1, 24))

    @st.composite
    def change(draw: DrawFn) -> bytes:
        made = bytearray(content)
        for place, octet in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
            made[place] = octet
        for place, length in draw(st.lists(spans, max_size=1)):
            del made[place : place + length]
        for place, length in draw(st.lists(spans, max_size=1)):
            made[place:place] = made[place : place + length]
        end = draw(st.none() | places)
        return bytes(made[:end])

    return change()


# --- random nodes ----------------------------------------------------------------------------------------------------

OPSET = 21
OPTIONAL = OpSchema.FormalParameterOption.Optional
TYPES = {
    f"tensor({TensorProto.DataType.Name(number).lower()})": number
    for number in TensorProto.DataType.values()
    if number not in {TensorProto.UNDEFINED, TensorProto.COMPLEX64, TensorProto.COMPLEX128}
}
INTEGERS = {TensorProto.INT32, TensorProto.INT64}
WORDS = st.sampled_from(
    ["", "linear", "nearest", "cubic", "constant", "reflect", "edge", "SAME_UPPER", "VALID", "sum", "none", "bogus"]
)


@cache
def schemas() -> tuple[OpSchema, ...]:
    """The operators that take tensors, as of one operator set."""
    latest = {
        s.name: onnx.defs.get_schema(s.name, OPSET)
        for s in onnx.defs.get_all_schemas()
        if not s.domain and onnx.defs.has(s.name, OPSET, "")
    }
    return tuple(s for _, s in sorted(latest.items()) if not s.deprecated)


def numbers(kind: Any) -> SearchStrategy[Any]:
    small = st.integers(-3, 5)
    real = st.floats(-2, 3, width=32) | st.sampled_from([float("inf"), float("nan"), 1e30])
    match kind:
        case OpSchema.AttrType.INT:
            return small | st.sampled_from([1 << 31, -(1 << 63)])
        case OpSchema.AttrType.INTS:
            return st.lists(small, max_size=5)
        case OpSchema.AttrType.FLOAT:
            return real
        case OpSchema.AttrType.FLOATS:
            return st.lists(real, max_size=5)
        case OpSchema.AttrType.STRING:
            return WORDS
        case OpSchema.AttrType.STRINGS:
            return st.lists(WORDS, max_size=3)
    return st.nothing()


@st.composite
def odd_models(draw: DrawFn) -> bytes:
    """One or two nodes of random operators, with inputs and attributes of the kinds they take, but any values."""
    graph, every = GraphProto(name="odd"), list[str]()
    for i in range(draw(st.integers(1, 2))):
        schema = draw(st.sampled_from(schemas()))
        made = [o.name for n in graph.node for o in graph.output if o.name in n.output]
        inputs = [
            draw(_input(graph, kinds_of(formal), f"n{i}_{k}", made, optional=formal.option == OPTIONAL))
            for k, formal in enumerate(_formal_inputs(draw, schema))
        ]
        outputs = [f"y{i}_{k}" for k in range(min(schema.max_output, draw(st.integers(max(schema.min_output, 1), 4))))]
        node = graph.node.add(op_type=schema.name, input=inputs, output=outputs, name=f"n{i}")
        for name, attribute in sorted(schema.attributes.items()):
            possible = numbers(attribute.type)
            if not possible.is_empty and (attribute.required or draw(st.booleans())):
                node.attribute.append(_attribute(name, draw(possible), attribute.type))
        every += outputs
    return _packed(graph, every)


KINDS: dict[Any, tuple[Any, ...]] = {
    int: (OpSchema.AttrType.INT,),
    (int,): (OpSchema.AttrType.INT,),
    (int, float): (OpSchema.AttrType.FLOAT,),
    str: (OpSchema.AttrType.STRING,),
    **dict.fromkeys((tuple, (tuple,)), (OpSchema.AttrType.INTS, OpSchema.AttrType.FLOATS, OpSchema.AttrType.STRINGS)),
}
"""What attributes may be by what a handler takes."""


@cache
def foreign() -> tuple[tuple[str, str, Signature], ...]:
    """The operators of other domains that are read."""
    return tuple((domain, name, Signature.of(handler)) for domain, name, _, handler in handlers if domain)


@st.composite
def odd_foreign_models(draw: DrawFn) -> bytes:
    """One node of another domain, with attributes of the kinds that it takes, and inputs of any."""
    graph = GraphProto(name="odd")
    domain, name, signature = draw(st.sampled_from(foreign()))
    most = signature.least + 4 if signature.most is None else signature.most
    count = draw(st.integers(signature.least, most))
    kinds = sorted(TYPES.values())
    inputs = [draw(_input(graph, kinds, f"x{k}", [], optional=k >= 2)) for k in range(count)]
    outputs = [f"y{k}" for k in range(draw(st.integers(1, 3)))]
    node = graph.node.add(op_type=name, domain=domain, input=inputs, output=outputs, name="n")
    for attribute, taken in sorted(signature.attributes.items()):
        if taken in KINDS and (attribute in signature.required or draw(st.booleans())):
            kind = draw(st.sampled_from(KINDS[taken]))
            node.attribute.append(_attribute(attribute, draw(numbers(kind)), kind))
    return _packed(graph, outputs, domain)


def _packed(graph: GraphProto, outputs: list[str], *domains: str) -> bytes:
    graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


def kinds_of(formal: Any) -> list[int]:
    """The element types that an input may have."""
    return sorted(TYPES[t] for t in formal.types if t in TYPES) or [TensorProto.FLOAT]


def _formal_inputs(draw: DrawFn, schema: OpSchema) -> list[Any]:
    formal = list(schema.inputs)
    if formal and formal[-1].option == OpSchema.FormalParameterOption.Variadic:
        return formal + formal[-1:] * draw(st.integers(0, 2))
    return formal[: draw(st.integers(schema.min_input, len(formal)))]


@st.composite
def _input(draw: DrawFn, graph: GraphProto, kinds: list[int], name: str, made: list[str], *, optional: bool) -> str:
    """The name of an input: left out where it may be, made by a node before, a constant or an input of the model."""
    if optional and draw(st.booleans()):
        return ""
    if draw(st.booleans()) and made:
        earlier: str = draw(st.sampled_from(made))
        return earlier
    kind = draw(st.sampled_from(kinds))
    if kind in INTEGERS and draw(st.booleans()):
        content = draw(st.lists(st.integers(-3, 5), max_size=5))
        graph.initializer.append(helper.make_tensor(name, kind, [len(content)], content))
        return name
    shape = draw(st.none() | st.lists(st.sampled_from([0, 1, 2, 3, 4, "N", None]), max_size=5))
    graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    return name


def _attribute(name: str, value: Any, kind: Any) -> Any:
    return helper.make_attribute(name, value, attr_type=getattr(onnx.AttributeProto, kind.name))
