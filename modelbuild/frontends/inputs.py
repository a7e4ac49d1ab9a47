"""What the user says of a model's inputs and outputs, applied before anything is translated.

Shapes replace those of the source there, because translation may already depend on them, and what is cut off need not
be translatable. What becomes a part of the graph is :mod:`modelbuild.frontends.preprocess`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from modelbuild.errors import UsageError
from modelbuild.frontends.source import SourceGraph, SourceModel, SourceNode, SourceType, SourceValue
from modelbuild.spelling import did_you_mean
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.given import array_of
from modelbuild.tensor.layout import axis_named
from modelbuild.tensor.storage import InMemory

if TYPE_CHECKING:
    from modelbuild.manifest.model import Bound, InputSpec

_SourceDim: TypeAlias = int | str | None


def given_inputs(model: SourceModel) -> dict[str, SourceValue]:
    """The inputs that a model is fed with, by name."""
    return {v.name: v for v in model.graph.inputs if v.name not in model.graph.initializers}


def with_inputs(model: SourceModel, specs: Iterable[InputSpec], batch: int | None = None) -> SourceModel:
    """The model with the shapes and values of ``specs``, and ``batch`` examples at once in each input.

    Raises :class:`UsageError` for what does not fit.
    """
    wanted = {spec.name: spec for spec in specs}
    inputs = given_inputs(model)
    for name in wanted:
        if name not in inputs:
            raise UsageError(f"there is no input {name!r}; the model has {', '.join(map(repr, inputs)) or 'none'}")
    shaped = {name: _with_shape(value, wanted[name]) for name, value in inputs.items() if name in wanted}
    frozen = {name: _value(shaped[name], spec) for name, spec in wanted.items() if spec.value is not None}
    changed = [shaped.get(value.name, value) for value in model.graph.inputs if value.name not in frozen]
    if batch is not None:
        changed = [
            _with_batch(value, wanted.get(value.name), batch) if value.name in inputs else value for value in changed
        ]
    initializers = {**model.graph.initializers, **frozen} if frozen else model.graph.initializers
    return replace(model, graph=replace(model.graph, inputs=tuple(changed), initializers=initializers))


def _with_shape(value: SourceValue, spec: InputSpec) -> SourceValue:
    known = value.type or SourceType(spec.type)
    if spec.shape is None:
        return replace(value, type=known)
    if known.shape is not None and len(known.shape) != len(spec.shape):
        raise UsageError(
            f"input {value.name!r} has {len(known.shape)} axes {list(known.shape)}, {len(spec.shape)} are given"
        )
    names = known.shape or (None,) * len(spec.shape)
    dims = tuple(
        given if isinstance(given, int) else _bounded(given, was if isinstance(was, str) else f"{value.name}.{axis}")
        for axis, (given, was) in enumerate(zip(spec.shape, names, strict=True))
    )
    return replace(value, type=replace(known, shape=dims))


def _bounded(extent: Bound | None, name: str) -> str:
    """The name of a dimension with its bounds: ``N<1..8>``, as the text form writes it."""
    if extent is None:
        return name
    return f"{name}<{extent.lower}..{'' if extent.upper is None else extent.upper}>"


def _with_batch(value: SourceValue, spec: InputSpec | None, batch: int) -> SourceValue:
    """The extent of the layout's ``N``, without a layout of the first axis where that can be a batch: open, or 1."""
    if value.type is None or value.type.shape is None:
        raise UsageError(f"input {value.name!r}: how many axes it has is not known; give it a shape instead of a batch")
    shape: Sequence[_SourceDim] = value.type.shape
    layout = spec.layout if spec else None
    try:
        axis = axis_named("N", layout, len(shape))
    except ValueError as why:
        raise UsageError(f"input {value.name!r}: {why}") from None
    if layout is None and shape:
        axis = 0
        if isinstance(shape[0], int) and shape[0] != 1:
            raise UsageError(
                f"input {value.name!r}: is the first axis of {list(shape)} the batch? then say so: a layout"
            )
    if axis is None:
        return value
    return replace(value, type=replace(value.type, shape=(*shape[:axis], batch, *shape[axis + 1 :])))


def _value(value: SourceValue, spec: InputSpec) -> InMemory:
    """What an input is frozen to, in its own type and shape."""
    assert spec.value is not None
    known = value.type or SourceType()
    if known.dtype is None or known.shape is None or known.dtype is ElementType.string:
        raise UsageError(f"input {value.name!r} cannot be given a value: its type or its axes are not known")
    try:
        return InMemory(array_of(spec.value, known.dtype, known.shape))
    except ValueError as why:
        raise UsageError(f"input {value.name!r}: {why}") from None


def cut(model: SourceModel, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> SourceModel:
    """The part of a model between ``inputs`` and ``outputs``, tensors given by name, each in the order given.

    Nothing given means those of the model. Raises :class:`UsageError` for a name that no tensor has, and for an input
    that is left out but needed.
    """
    if not inputs and not outputs:
        return model
    graph = model.graph
    declared = {value.name: value for value in (*graph.inputs, *graph.outputs)}
    made = {name for node in graph.nodes for name in node.outputs if name}

    def tensor(name: str) -> SourceValue:
        if name not in made and name not in declared:
            raise UsageError(f"there is no tensor {name!r}{did_you_mean(name, (*made, *declared))}")
        return declared.get(name) or SourceValue(name, graph.values.get(name))

    kept = tuple(map(tensor, inputs)) or graph.inputs
    asked = tuple(map(tensor, outputs)) or graph.outputs
    nodes, needed = _between(graph, {value.name for value in kept}, asked)
    initializers = {name: content for name, content in graph.initializers.items() if name not in set(inputs)}
    for value in graph.inputs:
        if value.name in needed and value not in kept and value.name not in initializers:
            raise UsageError(
                f"input {value.name!r} is needed for what is left of the model: name it too, or cut behind it"
            )
    return replace(model, graph=replace(graph, inputs=kept, outputs=asked, nodes=nodes, initializers=initializers))


def tensor_named(model: SourceModel, text: str) -> str:
    """The tensor that ``text`` means: a tensor's name, a node's with one output, ``node:port`` or ``port:node``.

    Raises :class:`UsageError` where there is none.
    """
    graph = model.graph
    tensors = {name for node in graph.nodes for name in node.outputs} | {value.name for value in graph.inputs}
    if text in tensors:
        return text
    nodes = {node.name: node for node in graph.nodes if node.name}
    if text in nodes and len(nodes[text].outputs) == 1:
        return nodes[text].outputs[0]
    before, _, last = text.rpartition(":")
    first, _, behind = text.partition(":")
    for name, port, side in (before, last, "outputs"), (behind, first, "inputs"):
        if name in nodes and port.isdecimal() and int(port) < len(getattr(nodes[name], side)):
            return str(getattr(nodes[name], side)[int(port)])
    if before in tensors and last == "0":
        return before
    raise UsageError(f"there is no tensor or node {text!r}{did_you_mean(text, (*tensors, *nodes))}")


def _between(
    graph: SourceGraph, given: set[str], outputs: Iterable[SourceValue]
) -> tuple[tuple[SourceNode, ...], set[str]]:
    """The nodes that make ``outputs`` of ``given``, and the names that they read."""
    needed = {value.name for value in outputs}
    nodes = []
    for node in reversed(graph.nodes):
        made = tuple("" if name in given else name for name in node.outputs)
        if needed.isdisjoint(name for name in made if name):
            continue
        needed.update(_reads(node))
        nodes.append(node if made == node.outputs else replace(node, outputs=made))
    return tuple(reversed(nodes)), needed


def _reads(node: SourceNode) -> Iterator[str]:
    """What a node reads, its bodies included; names that a body makes itself are among them."""
    yield from filter(None, node.inputs)
    for attribute in node.attributes.values():
        for body in attribute if isinstance(attribute, tuple) else (attribute,):
            if isinstance(body, SourceGraph):
                yield from (value.name for value in body.outputs)
                for inner in body.nodes:
                    yield from _reads(inner)
