"""What one file is: a source model, or an IR."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from modelbuild.errors import BuildError, UnsupportedModel, UsageError
from modelbuild.extensions import extended
from modelbuild.frontends.onnx import frontend
from modelbuild.frontends.source import SourceGraph, SourceModel, SourceNode, SourceType, SourceValue
from modelbuild.graph import Graph
from modelbuild.ir import read as ir
from modelbuild.passes.extension_rules import ExtensionRules, rules_of
from modelbuild.passes.fit import SPELLINGS, refused
from modelbuild.passes.pipeline import optimize
from modelbuild.report.counting import is_learned, summarize
from modelbuild.report.summary import Natural, Port, Summary
from modelbuild.rewrite import Trace
from modelbuild.targets import Target
from modelbuild.tensor.shape import show_shape

SPELLED = frozenset(rule.name for rule in SPELLINGS)


class Size(Struct, frozen=True, forbid_unknown_fields=True):
    """A file by its name, relative to the folder of the first."""

    name: str
    bytes: Natural


class Unsupported(Struct, frozen=True, forbid_unknown_fields=True):
    """How often an operator occurs that has no translation, and why, with an example node."""

    count: Natural
    why: str


class Fitness(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a device takes a model as it is, without anything said of its inputs."""

    device: str
    runtime: Annotated[str | None, Meta(description="the oldest release that has to read it; null for the newest")]
    verified: Annotated[bool, Meta(description="whether what is known of the device was held against its plugin")]
    spelled: Annotated[dict[str, Natural], Meta(description="by rule: how often something is said otherwise for it")]
    refused: Annotated[tuple[str, ...], Meta(description="each node that it does not take, and why")]
    helps: tuple[str, ...]


class SourceDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="source", tag_field="kind"):
    """A model as its framework wrote it, and what becomes of it."""

    framework: str
    opsets: Annotated[dict[str, int], Meta(description="version by domain; the framework's own is called as it is")]
    producer: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Annotated[dict[str, Natural], Meta(description="uses of each operator, in subgraphs too")]
    files: tuple[Size, ...]
    unsupported: dict[str, Unsupported]
    trouble: Annotated[str, Meta(description="why else it cannot be converted; empty where nothing else is wrong")]
    converted: Annotated[Summary | None, Meta(description="the optimised graph, where it can be converted")]
    fitness: Annotated[Fitness | None, Meta(description="for the device that was asked for")] = None


class IrDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ir", tag_field="kind"):
    """An IR as it lies on disk."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: Annotated[Natural, Meta(description="layers without inputs, outputs and constants, those of bodies too")]
    operators: dict[str, Natural]
    parameters: Natural
    weight_bytes: Annotated[dict[str, Natural], Meta(description="bytes that constants share count once")]
    files: tuple[Size, ...]


Description: TypeAlias = SourceDescription | IrDescription

_NO_LAYERS = ("Const", "Parameter", "Result")


def describe(path: Path, target: Target | None = None, extensions: Sequence[Path] = ()) -> Description:
    """What ``path`` is; ``SourceError`` where it is neither an IR (``….xml``) nor a model that can be read.

    Of a model it is also said whether ``target`` takes it, with what ``extensions`` define at work; ``UsageError`` for
    an IR, which is what it is.
    """
    if path.suffix != ".xml":
        with extended(extensions) as modules:
            return _describe_source(frontend.read(path), target, rules_of(modules))
    if target is not None:
        raise UsageError(f"{path}: what a device takes is said of models, not of an IR")
    if extensions:
        raise UsageError(f"{path}: extensions are for models, an IR has been through them")
    return _describe_ir(path)


def _describe_source(model: SourceModel, target: Target | None, further: ExtensionRules) -> SourceDescription:
    unsupported: dict[str, Unsupported] = {}
    trouble, converted, fitness = "", None, None
    try:
        graph = frontend.to_graph(model)
        optimize(graph, further=further)
        converted = summarize(graph)
        fitness = None if target is None else _fitness(graph, target)
    except UnsupportedModel as error:
        unsupported = {name: Unsupported(count, why) for name, (count, why) in sorted(error.operators.items())}
    except BuildError as error:  # a description tells of troubles, it has none
        trouble = str(error)
    uses = Counter(_operator(node) for node in _nodes(model.graph))
    return SourceDescription(
        framework=model.framework,
        opsets={domain or model.framework: version for domain, version in sorted(model.opsets.items())},
        producer=model.producer,
        inputs=tuple(_port(v) for v in model.graph.inputs if v.name not in model.graph.initializers),
        outputs=tuple(map(_port, model.graph.outputs)),
        operators=dict(sorted(uses.items())),
        files=tuple(_size(path, model.files[0].parent) for path in model.files),
        unsupported=unsupported,
        trouble=trouble,
        converted=converted,
        fitness=fitness,
    )


def _fitness(graph: Graph, target: Target) -> Fitness:
    trace = Trace()
    limits = target.limits()
    refusals = refused(graph, limits, trace)
    return Fitness(
        device=target.device,
        runtime=limits.runtime,
        verified=target.is_verified,
        spelled={rule: trace.count(rule) for rule in sorted({event.rule for event in trace.events.values()} & SPELLED)},
        refused=tuple(map(str, refusals)),
        helps=tuple(dict.fromkeys(refusal.help for refusal in refusals)),
    )


def _nodes(graph: SourceGraph) -> Iterator[SourceNode]:
    """The nodes of a graph and of the subgraphs that they hold."""
    pending = [graph]
    while pending:
        for node in pending.pop().nodes:
            yield node
            for attribute in node.attributes.values():
                held = attribute if isinstance(attribute, tuple) else (attribute,)
                pending += [inner for inner in held if isinstance(inner, SourceGraph)]


def _operator(node: SourceNode) -> str:
    return f"{node.domain}.{node.op}" if node.domain else node.op


def _port(value: SourceValue) -> Port:
    kind = value.type or SourceType()
    dims = "[...]" if kind.shape is None else f"[{','.join('?' if dim is None else str(dim) for dim in kind.shape)}]"
    return Port(value.name, _type(kind), dims)


def _type(kind: SourceType) -> str:
    """``f32``, or ``sequence(f32)``; ``?`` where the file does not say."""
    if kind.kind != "tensor":
        return f"{kind.kind}({_type(kind.element) if kind.element else kind.dtype or '?'})"
    return str(kind.dtype or "?")


def _size(path: Path, folder: Path) -> Size:
    return Size(Path(os.path.relpath(path, folder)).as_posix(), path.stat().st_size)


def _describe_ir(path: Path) -> IrDescription:
    found = ir.describe(path)
    operators = {name: count for name, count in found.layers.items() if name not in _NO_LAYERS}
    files = [Size(path.name, found.xml_size), Size(path.with_suffix(".bin").name, found.bin_size)]
    return IrDescription(
        name=found.name,
        inputs=tuple(map(_ir_port, found.inputs)),
        outputs=tuple(map(_ir_port, found.outputs)),
        layers=sum(operators.values()),
        operators=operators,
        parameters=sum(s.nbytes * 8 // t.bits for t, s in found.weights.items() if is_learned(t)),
        weight_bytes={t.value: share.nbytes for t, share in found.weights.items()},
        files=tuple(size for size in files if size.bytes),
    )


def _ir_port(port: ir.Port) -> Port:
    return Port(port.names[0], port.dtype.value, show_shape(port.shape))
