"""What the user says of a model's inputs, applied before anything is translated.

Shapes replace those of the source there, because translation may already depend on them; an element type becomes a
Convert behind the new input, and a layout is a note on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from modelbuild import ops
from modelbuild.errors import UsageError
from modelbuild.frontends.source import SourceModel, SourceType, SourceValue
from modelbuild.graph import Graph, Node, Op
from modelbuild.graph.structure import Parameter
from modelbuild.tensor.dtype import ElementType

if TYPE_CHECKING:
    from modelbuild.manifest.model import Bound, InputSpec


def with_shapes(model: SourceModel, specs: Iterable[InputSpec]) -> SourceModel:
    """The model with the shapes of ``specs`` on its inputs; raises :class:`UsageError` for what does not fit."""
    wanted = {spec.name: spec for spec in specs}
    inputs = {v.name: v for v in model.graph.inputs if v.name not in model.graph.initializers}
    for name in wanted:
        if name not in inputs:
            raise UsageError(f"there is no input {name!r}; the model has {', '.join(map(repr, inputs)) or 'none'}")
    changed = tuple(_with_shape(v, wanted[v.name]) if v.name in wanted else v for v in model.graph.inputs)
    return replace(model, graph=replace(model.graph, inputs=changed))


def _with_shape(value: SourceValue, spec: InputSpec) -> SourceValue:
    if spec.shape is None:
        return value
    known = value.type or SourceType()
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


def apply_types(graph: Graph, specs: Iterable[InputSpec]) -> None:
    """Give inputs the element types and layouts of ``specs``: ``x: f32``  ->  ``x: u8``, Convert(x)."""
    by_name = {name: value for value in graph.inputs for name in value.names}
    for spec in specs:
        value = by_name[spec.name]
        parameter = value.producer
        if spec.layout:
            rank = value.fact.rank
            axes = spec.layout if "..." in spec.layout else list(spec.layout)
            if rank is not None and "..." not in spec.layout and len(axes) != rank:
                raise UsageError(f"input {spec.name!r} has {rank} axes, layout {spec.layout!r} names {len(axes)}")
            _replace_parameter(parameter, layout=_written(spec.layout))
        if spec.type is not None and spec.type is not value.fact.dtype:
            _change_type(graph, parameter, spec.type)


def _written(layout: str) -> str:
    """``NCHW``  ->  ``[N,C,H,W]``"""
    axes = ",".join(layout.replace("...", ".")).replace(".", "...")
    return f"[{axes}]"


def _replace_parameter(node: Node[Op], *, layout: str) -> None:
    assert isinstance(node.op, Parameter)
    node.op = Parameter(node.op.element_type, node.op.shape, layout)


def _change_type(graph: Graph, node: Node[Op], dtype: ElementType) -> None:
    assert isinstance(node.op, Parameter)
    old = node.output
    new = Node(Parameter(dtype, node.op.shape, node.op.layout), (), node.name, node.origin).output
    back = Node(ops.Convert(old.fact.dtype), (new,), f"{node.name}/Convert", node.origin).output
    names, old.names = old.names, ()
    graph.inputs = [new if v is old else v for v in graph.inputs]
    graph.replace(old, back)
    new.names = names
